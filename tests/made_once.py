"""A folder of files that take time to make, each made when the first test asks for it."""

from abc import ABC, abstractmethod
from pathlib import Path


class MadeOnce(ABC):
    """Read with `videos["index-last.mp4"]`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            scratch = self.folder / f"new-{name}"
            self.make(name, scratch)
            scratch.rename(path)
        return path

    @abstractmethod
    def make(self, name: str, path: Path) -> None:
        """Makes the file of this name there."""
