"""What was tried and what came of it, to be printed when the tests are over."""

from collections import Counter, defaultdict

#: By kind of input, how often each outcome was seen.
TALLY: defaultdict[str, Counter[str]] = defaultdict(Counter)


def count(kind: str, outcome: str | int) -> None:
    """Notes one input and what came of it: the state of its job, a code or an HTTP status."""
    TALLY[kind][str(outcome)] += 1


def table() -> list[str]:
    """A line for each kind: how many inputs, and how many of them ended how."""
    width = max(map(len, TALLY), default=0)
    lines = []
    for kind, outcomes in sorted(TALLY.items()):
        each = ", ".join(f"{outcome} {number}" for outcome, number in sorted(outcomes.items()))
        lines.append(f"{kind:{width}}  {outcomes.total():6}  {each}")
    return lines
