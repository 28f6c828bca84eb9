"""Convert under kill -9, again and again. The long form of this is a command: see `tests.killing`."""

from pathlib import Path

from tests import killing
from tests.outages import running_mongod

SEED = 20261126


def test_jobs_under_murders_at_random_times(home: Path, tmp_path: Path) -> None:
    with running_mongod(home) as server:
        hits = killing.kill(server.url, tmp_path, seed=SEED, jobs=2, kills=4, length_s=25)
    assert hits.total() > 0
