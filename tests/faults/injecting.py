"""Faults: a schedule that a seed decides, and how each is done to a platform that runs."""

import contextlib
import functools
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from tests.e2e.test_trouble import frozen
from tests.faults.stream import Stream
from tests.faults.world import LINES, World

FUNCTIONS = ("auth", "upload", "convert", "notify")
SERVERS = ("mongod", "mariadb", "rabbitmq")
#: All of these lead to one of the processes whose names begin so.
PROCESSES = (*FUNCTIONS, "trigger", "ingress")


@dataclass(frozen=True)
class Kind:
    """A kind of fault: what it can be done to, how long it lasts (seconds), and how often it comes beside others."""

    name: str
    targets: Sequence[str]
    lasts_s: tuple[float, float] = (0.0, 0.0)
    weight: int = 1


KILLS = (
    Kind("SIGKILL", PROCESSES, weight=6),
    Kind("SIGTERM", PROCESSES, weight=4),
    Kind("SIGSTOP", PROCESSES, (1.0, 6.0), weight=3),
)
OUTAGES = (
    Kind("SIGKILL", SERVERS, weight=2),
    Kind("SIGTERM", SERVERS, weight=2),
    Kind("SIGSTOP", SERVERS, (1.0, 6.0), weight=2),
)
BAD_LINES = (
    Kind("cut", tuple(LINES), weight=4),
    Kind("lost answers", tuple(LINES), (0.5, 3.0), weight=4),
    Kind("slow", tuple(LINES), (1.0, 4.0), weight=2),
    Kind("silence", tuple(LINES), (1.0, 6.0), weight=2),
)
OTHERS = (Kind("full disk", ("scratch",), (1.0, 5.0), weight=2), Kind("moved clock", ("past", "future"), weight=2))
ALL = (*KILLS, *OUTAGES, *BAD_LINES, *OTHERS)


@dataclass(frozen=True)
class Fault:
    """What is done `at_s` seconds after the start, for how long; `chance` (0 to 1) decides between equals."""

    at_s: float
    kind: str
    target: str
    lasts_s: float
    chance: float


def schedule(seed: int, seconds: float, *, pause_s: float, kinds: Sequence[Kind] = ALL) -> list[Fault]:
    """The faults of so many seconds, one after the other, with pauses of so many seconds on average."""
    chance = random.Random(f"faults {seed}")
    found: list[Fault] = []
    at_s = chance.uniform(0, pause_s)
    while at_s < seconds:
        (kind,) = chance.choices(kinds, [kind.weight for kind in kinds])
        lasts_s = chance.uniform(*kind.lasts_s)
        found.append(Fault(at_s, kind.name, chance.choice(kind.targets), lasts_s, chance.random()))
        at_s += lasts_s + chance.uniform(0, 2 * pause_s)
    return found


def inject(faults: Sequence[Fault], world: World, stream: Stream) -> Counter[str]:
    """Does them as they are due; how many of each kind there was something to be done to."""
    began = time.monotonic()
    done = Counter[str]()
    for fault in faults:
        time.sleep(max(0.0, began + fault.at_s - time.monotonic()))
        if _DO[fault.kind](fault, world, stream):
            done[f"{fault.kind} {fault.target}"] += 1
    return done


def _kill(fault: Fault, world: World, _stream: Stream) -> bool:
    """SIGKILL for a process and all that it has started; one may take others with it."""
    for process in (family := _family(fault, world)):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return bool(family)


def _terminate(fault: Fault, world: World, _stream: Stream) -> bool:
    family = _family(fault, world)
    with contextlib.suppress(psutil.NoSuchProcess):
        if family:
            family[0].send_signal(signal.SIGTERM)
    return bool(family)


def _freeze(fault: Fault, world: World, _stream: Stream) -> bool:
    if not (family := _family(fault, world)):
        return False
    with contextlib.suppress(psutil.NoSuchProcess), frozen(family[0].pid):
        time.sleep(fault.lasts_s)
    return True


def _family(fault: Fault, world: World) -> list[psutil.Process]:
    """A process that the fault is meant for, and its descendants; none where no such process runs."""
    running = sorted(world.platform.status()["processes"].items())
    pids = [pid for name, pid in running if name.partition("-")[0] == fault.target]
    if not pids:
        return []
    try:
        process = psutil.Process(pids[int(fault.chance * len(pids))])
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cut(fault: Fault, world: World, _stream: Stream) -> bool:
    return world.lines.cut(fault.target) > 0


def _spoil(attribute: str, value: float | bool, fault: Fault, world: World, _stream: Stream) -> bool:
    """Makes a line bad for a while."""
    setattr(world.lines[fault.target], attribute, value)
    time.sleep(fault.lasts_s)
    world.heal()
    return True


def _fill(fault: Fault, world: World, _stream: Stream) -> bool:
    """Leaves no room where replicas have their scratch."""
    if world.scratch is None:
        return False
    ballast = world.scratch / "ballast"
    try:
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        time.sleep(fault.lasts_s)
    finally:
        ballast.unlink()
    return True


def _move_clock(fault: Fault, world: World, stream: Stream) -> bool:
    """Has somebody carry a token that auth would have signed an hour ago, or an hour from now."""
    sender = stream.senders[int(fault.chance * len(stream.senders))]
    sender.carry(world.token(sender.email, hours=-1 if fault.target == "past" else 1))
    return True


_DO: dict[str, Callable[[Fault, World, Stream], bool]] = {
    "SIGKILL": _kill,
    "SIGTERM": _terminate,
    "SIGSTOP": _freeze,
    "cut": _cut,
    "lost answers": functools.partial(_spoil, "loses_answers", True),
    "slow": functools.partial(_spoil, "delay_s", 0.2),
    "silence": functools.partial(_spoil, "silent", True),
    "full disk": _fill,
    "moved clock": _move_clock,
}
