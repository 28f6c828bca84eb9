"""How loud the segments of a sound are together (ITU-R BS.1770-5, annex 1: gating over blocks of 400 ms)."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import loudness
from loudness import GATE_LUFS, Level

#: A block is this much louder than its mean square says (annex 1, formula 2).
_OFFSET_LU = -0.691
_RELATIVE_LU = -10.0
#: Blocks overlap: a new one begins after a quarter of the one before it.
BLOCKS_PER_S = 10
#: The first ones of a run of ffmpeg are not whole.
_WARMING_UP = 3
_MOMENTARY = re.compile(r"^lavfi\.r128\.M=(-?[\d.]+|-inf|nan)$", re.MULTILINE)


@dataclass(frozen=True)
class Blocks:
    """The loudness of blocks in LUFS, and the true peak in dBTP, where there is any."""

    lufs: Sequence[float]
    peak: float | None

    def to_dict(self) -> dict[str, Any]:
        """As it is stored."""
        return {"lufs": list(self.lufs), "peak": self.peak}


def parse(output: str, log: str, *, first: int, last: int | None = None) -> Blocks:
    """Reads what `packet_recipe.listen` makes ffmpeg say.

    Args:
        output: The loudness of each block.
        log: With the peak.
        first: The first block that counts; the first ones are not whole in any case.
        last: The last block but one that counts.
    """
    lufs = [float(found) for found in _MOMENTARY.findall(output)][max(first, _WARMING_UP) : last]
    return Blocks([value for value in lufs if value > GATE_LUFS], loudness.peak_dbtp(log))


def level(found: Iterable[dict[str, Any]]) -> Level:
    """The level of a sound, of the blocks of its segments as they were stored."""
    segments = list(found)
    energies = [_energy(lufs) for segment in segments for lufs in segment["lufs"]]
    peaks = [segment["peak"] for segment in segments if segment["peak"] is not None]
    peak = max(peaks, default=None)
    if not energies:
        return Level(None, peak)
    gate = _energy(_lufs(math.fsum(energies) / len(energies)) + _RELATIVE_LU)
    loud = [energy for energy in energies if energy > gate]
    return Level(round(_lufs(math.fsum(loud) / len(loud)), 1), peak)


def _energy(lufs: float) -> float:
    return float(10 ** ((lufs - _OFFSET_LU) / 10))


def _lufs(energy: float) -> float:
    return _OFFSET_LU + 10 * math.log10(energy)
