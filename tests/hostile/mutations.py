"""Damages videos as lines, disks and people do, and as who looks for a hole does: Hypothesis says how."""

from collections.abc import Callable

from hypothesis import strategies as st

#: Numbers at which readers of containers go wrong, of one byte to eight.
_EDGES = tuple(
    value
    for size in (1, 2, 4, 8)
    for value in (
        bytes(size),
        b"\xff" * size,
        b"\x7f" + b"\xff" * (size - 1),
        b"\x80" + bytes(size - 1),
        b"\1".zfill(size),
    )
)
#: A place in a file, as a share of it; the head is where most goes wrong.
_PLACES = st.one_of(st.floats(0, 1), st.floats(0, 0.02))

Mutation = Callable[[bytes, bytes], bytes]


def mutations() -> st.SearchStrategy[list[Mutation]]:
    """One to three changes, one after the other; each takes a video and another one to take pieces of."""
    return st.lists(
        st.one_of(
            st.builds(_flip, st.lists(_PLACES, min_size=1, max_size=40), st.integers(0, 7)),
            st.builds(_write, _PLACES, st.one_of(st.sampled_from(_EDGES), st.binary(min_size=1, max_size=64))),
            st.builds(_insert, _PLACES, st.binary(min_size=1, max_size=300)),
            st.builds(_remove, _PLACES, st.integers(1, 5000)),
            st.builds(_blank, _PLACES, st.integers(1, 50_000)),
            st.builds(_repeat, _PLACES, st.integers(1, 20_000), st.integers(2, 20)),
            st.builds(_move, _PLACES, _PLACES, st.integers(1, 20_000)),
            st.builds(_truncate, st.floats(0.001, 0.999)),
            st.builds(_splice, _PLACES, _PLACES),
        ),
        min_size=1,
        max_size=3,
    )


def _at(data: bytes, share: float) -> int:
    return min(int(len(data) * share), max(len(data) - 1, 0))


def _flip(places: list[float], bit: int) -> Mutation:
    def change(data: bytes, _: bytes) -> bytes:
        changed = bytearray(data)
        for place in places if data else ():
            changed[_at(data, place)] ^= 1 << bit
        return bytes(changed)

    return change


def _write(place: float, value: bytes) -> Mutation:
    return lambda data, _: data[: (at := _at(data, place))] + value + data[at + len(value) :]


def _insert(place: float, value: bytes) -> Mutation:
    return lambda data, _: data[: (at := _at(data, place))] + value + data[at:]


def _remove(place: float, size: int) -> Mutation:
    return lambda data, _: data[: (at := _at(data, place))] + data[at + size :]


def _blank(place: float, size: int) -> Mutation:
    return lambda data, _: data[: (at := _at(data, place))] + bytes(len(data[at : at + size])) + data[at + size :]


def _repeat(place: float, size: int, times: int) -> Mutation:
    return lambda data, _: data[: (at := _at(data, place))] + data[at : at + size] * times + data[at + size :]


def _move(place: float, to: float, size: int) -> Mutation:
    def change(data: bytes, _: bytes) -> bytes:
        at = _at(data, place)
        piece, rest = data[at : at + size], data[:at] + data[at + size :]
        target = _at(rest, to)
        return rest[:target] + piece + rest[target:]

    return change


def _truncate(share: float) -> Mutation:
    return lambda data, _: data[: max(_at(data, share), 1)]


def _splice(here: float, there: float) -> Mutation:
    return lambda data, other: data[: _at(data, here)] + other[_at(other, there) :]
