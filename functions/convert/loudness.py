"""How loud sound is and by how much to change that (EBU R 128, ITU-R BS.1770-4), from what ffmpeg's ebur128 says."""

import re
from dataclasses import dataclass

#: EBU R 128 allows a true peak of -1 dBTP. What goes into the encoder stays under that by what its noise may add.
CEILING_DBTP = -1.5
#: The absolute gate: where nothing is louder, nothing was measured (so too under 0.4 s).
GATE_LUFS = -70.0

_INTEGRATED = re.compile(r"\bI:\s+(-?[\d.]+) LUFS")
_PEAK = re.compile(r"\bPeak:\s+(-?[\d.]+) dBFS")


@dataclass(frozen=True)
class Level:
    """What was measured; None where there was too little sound."""

    lufs: float | None
    true_peak_dbtp: float | None


def parse(log: str) -> Level:
    """Reads the summary at the end of the log."""
    summary = log.rpartition("] Summary:\n")[2]
    integrated = _INTEGRATED.search(summary)
    lufs = float(integrated[1]) if integrated else GATE_LUFS
    return Level(lufs if lufs > GATE_LUFS else None, peak_dbtp(summary))


def peak_dbtp(log: str) -> float | None:
    """The true peak that the last summary in a log says."""
    found = _PEAK.findall(log)
    return float(found[-1]) if found else None


def gain_db(before: Level, target_lufs: float) -> float:
    """The one gain that brings sound to its target, or as near as its true peak allows."""
    if before.lufs is None or before.true_peak_dbtp is None:
        return 0.0
    return round(min(target_lufs - before.lufs, CEILING_DBTP - before.true_peak_dbtp), 1)


def report(before: Level, after: Level, *, gain_db: float, target_lufs: float) -> dict[str, float | None]:
    """What is said of a normalized audio, in the job and in its event."""
    return {
        "before_lufs": before.lufs,
        "after_lufs": after.lufs,
        "true_peak_before_dbtp": before.true_peak_dbtp,
        "true_peak_dbtp": after.true_peak_dbtp,
        "gain_db": gain_db,
        "target_lufs": target_lufs,
    }
