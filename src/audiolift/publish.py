"""Sends CloudEvents to the sink that a SinkBinding names in K_SINK (CloudEvents HTTP binding 1.0.2, binary mode)."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from audiolift import tracing
from audiolift.errors import TransientError

#: Sends one encoded event and returns once the broker has it for good; raises `TransientError` otherwise.
Publish = Callable[[Mapping[str, Any]], None]


def publisher(sink: str, *, timeout_s: float = 10.0) -> Publish:
    """A `Publish` to the sink at this address."""

    opener = urllib.request.build_opener(_NoRedirect)

    def publish(event: Mapping[str, Any]) -> None:
        about = {"audiolift.job.id": str(event["subject"]), "messaging.message.id": str(event["id"])}
        with tracing.span(f"publish {event['type']}", about, kind="producer", parent=event.get("traceparent")):
            here = tracing.here()
            send(event if here is None else {**event, "traceparent": here})

    def send(event: Mapping[str, Any]) -> None:
        headers = {f"ce-{name}": str(value) for name, value in event.items() if name not in ("data", "datacontenttype")}
        headers["Content-Type"] = str(event["datacontenttype"])
        # The RabbitMQ Broker passes on the HTTP header of W3C Trace Context only, not the extension.
        headers |= {"traceparent": str(event["traceparent"])} if "traceparent" in event else {}
        request = urllib.request.Request(sink, json.dumps(event["data"]).encode(), headers, method="POST")  # noqa: S310
        try:
            with opener.open(request, timeout=timeout_s) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
        except (OSError, http.client.HTTPException) as error:
            raise TransientError("unavailable", cause=f"the sink {sink} cannot be reached: {error}") from error
        # Only 202 says that the broker confirmed; anything else may come from a proxy on the way.
        if status != 202:
            raise TransientError("unavailable", cause=f"the sink {sink} answered {status} instead of 202")

    return publish


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect as the answer: followed, it would become a GET, and its 202 would confirm nothing."""

    def redirect_request(self, *_: object) -> None:
        return None
