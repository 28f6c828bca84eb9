"""Media beyond sense end soon, in bounded memory, with an MP3 or a reason."""

import pytest

from tests.hostile.bombs import BOMBS
from tests.hostile.converting import outcome
from tests.hostile.tally import count
from tests.videos import Videos
from tests.workshop import Workshop


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, found in BOMBS.items() for name in found])
def test_bombs(workshop: Workshop, videos: Videos, kind: str, name: str) -> None:
    count(kind, outcome(workshop, BOMBS[kind][name](videos)))
