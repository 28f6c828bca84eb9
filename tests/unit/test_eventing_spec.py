"""A Trigger is the same on the other side of its JSON, and one that the Broker cannot serve is refused."""

from typing import Any

import pytest

from local.eventing.spec import TriggerSpec
from local.eventing.topology import dead_letters_name, exchange_name, queue_name

SPEC: dict[str, Any] = {"name": "convert", "broker": "default", "subscriber_url": "http://127.0.0.1:1/"}


def test_json() -> None:
    trigger = TriggerSpec(
        **SPEC,
        attributes={"type": "t"},
        dead_letter_url="http://127.0.0.1:1/dead-letters",
        parallelism=2,
        retry=5,
        backoff_policy="linear",
        backoff_delay_s=1.5,
        timeout_s=600.0,
    )
    assert TriggerSpec.from_json(trigger.to_json()) == trigger


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "a", "colour": "red"}'])
def test_what_is_no_trigger(text: str) -> None:
    with pytest.raises(ValueError, match=r"Trigger|Expecting"):
        TriggerSpec.from_json(text)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"parallelism": 0}, "parallelism"),
        ({"parallelism": 1001}, "parallelism"),
        ({"retry": -1}, "retry"),
        ({"backoff_policy": "none"}, "backoff_policy"),
        ({"attributes": {"type": ""}}, "type"),
        ({"attributes": {"datacontenttype": "application/json"}}, "datacontenttype"),
    ],
)
def test_what_the_broker_cannot_do(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        TriggerSpec(**SPEC, **values)


def test_names() -> None:
    trigger = TriggerSpec(**SPEC)
    assert exchange_name("default") == "broker.default"
    assert queue_name(trigger) == "trigger.default.convert"
    assert dead_letters_name(trigger) == "trigger.default.convert.dead-letters"
