"""What an upload may ask for: options of the conversion and, beside them, that the job waits for its owner."""

from collections.abc import Mapping
from dataclasses import dataclass

from audiolift import options
from audiolift.options import Options

NAMES = (*options.NAMES, "hold")


@dataclass(frozen=True)
class Wishes:
    """`hold`: the video is looked at, and converted only when its owner says how."""

    options: Options
    hold: bool


def parse(given: Mapping[str, str]) -> Wishes:
    """Reads wishes as people write them.

    Raises:
        PermanentError: `option_invalid`.
    """
    rest = dict(given)
    hold = rest.pop("hold", "false")
    if hold not in ("true", "false"):
        raise options.invalid("hold", "it is true or false.")
    return Wishes(options.parse(rest), hold == "true")
