"""Figures for Prometheus, at /metrics (text format 0.0.4): what this process has counted, gone with it.

A module declares the figures that it notes. prometheus_client is imported when the first one is noted or asked for: it
would be a tenth of a cold start.
"""

import ipaddress
import threading
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from audiolift.errors import PermanentError

_lock = threading.Lock()
_declared: "list[_Figure]" = []
_registry: Any = None


class _Figure:
    def __init__(self, name: str, about: str, *, label: str = "", values: Sequence[str] = (), **more: Any) -> None:
        """Declares a figure.

        Args:
            name: With its unit at the end, as Prometheus has it: `audiolift_..._seconds`.
            about: One sentence for /metrics.
            label: What it is counted by.
            values: All that the label can be. Each starts at 0, or the first count would show no growth.
            more: What its kind in prometheus_client takes besides.
        """
        self._name, self._about, self._label, self._values, self._more = name, about, label, values, more
        self._made: Any = None
        _declared.append(self)

    def of(self, value: str | None) -> Any:
        """The figure in prometheus_client."""
        if self._made is None:
            with _lock:
                self._made = self._made or self._make()
        return self._made if value is None else self._made.labels(value)

    def _make(self) -> Any:
        import prometheus_client  # noqa: PLC0415

        global _registry  # noqa: PLW0603  # one per process, as the figures are
        if _registry is None:
            _registry = prometheus_client.CollectorRegistry()
            prometheus_client.ProcessCollector(registry=_registry)
            # A second line for each figure, that only OpenMetrics knows what to do with.
            prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        kind = getattr(prometheus_client, type(self).__name__)
        made = kind(self._name, self._about, [self._label] if self._label else [], registry=_registry, **self._more)
        for value in self._values:
            made.labels(value)
        return made


class Counter(_Figure):
    """Something that only grows; its name ends in `_total`."""

    def add(self, value: str | None = None, *, amount: float = 1) -> None:
        """Counts one, or as many as `amount`, under this value of its label."""
        self.of(value).inc(amount)


class Gauge(_Figure):
    """Something that goes up and down."""

    def set(self, amount: float, value: str | None = None) -> None:
        """Notes how much it is, under this value of its label."""
        self.of(value).set(amount)


class Histogram(_Figure):
    """How large something is each time; `buckets` are upper bounds."""

    def observe(self, amount: float) -> None:
        """Notes one."""
        self.of(None).observe(amount)


def answer(host: str, *, refresh: Callable[[], object] | None = None) -> tuple[bytes, int, dict[str, str]]:
    """What /metrics answers: body, status and headers.

    Args:
        host: The request's Host.
        refresh: Sets the figures that are not counted here.

    Raises:
        PermanentError: `not_found`, for whoever has not called this very process by its IP address, as a scraper does.
            What comes through a gateway bears a Service's name, so that nobody outside sees this.
    """
    if not _is_address(host):
        raise PermanentError("not_found")
    if refresh:
        refresh()
    for figure in _declared:
        figure.of(None)
    import prometheus_client  # noqa: PLC0415

    body = prometheus_client.generate_latest(_registry) if _registry else b""
    return body, 200, {"Content-Type": prometheus_client.CONTENT_TYPE_LATEST, "Cache-Control": "no-store"}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
    return True
