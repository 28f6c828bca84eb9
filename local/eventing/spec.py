"""What a dispatcher has to know about its Trigger."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Literal, Self


@dataclass(frozen=True, kw_only=True)
class TriggerSpec:
    """A Trigger with its addresses resolved.

    Attributes:
        name: Unique within the Broker.
        broker: The Broker's name.
        attributes: The filter: exact values that an event must have; an empty one matches every event.
        subscriber_url: Where events go.
        dead_letter_url: Where events go that the subscriber did not take; without one they are lost.
        parallelism: Events that are delivered at once, 1 to 1000; at 1 they are delivered in order.
        retry: Further attempts after the first one.
        backoff_policy: Wait `backoff_delay_s` x 2^n or x n before the n-th further attempt.
        backoff_delay_s: Seconds.
        timeout_s: Seconds that one attempt may take; None for no limit.

    Raises:
        ValueError: The Broker cannot do this; says which attribute and why.
    """

    name: str
    broker: str
    subscriber_url: str
    attributes: dict[str, str] = field(default_factory=dict)
    dead_letter_url: str | None = None
    parallelism: int = 1
    retry: int = 0
    backoff_policy: Literal["exponential", "linear"] = "exponential"
    backoff_delay_s: float = 0.05
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.parallelism <= 1000:
            raise ValueError(f"parallelism is {self.parallelism}, but must be 1 to 1000")
        if self.retry < 0:
            raise ValueError(f"retry is {self.retry}, but must not be negative")
        if self.backoff_policy not in ("exponential", "linear"):
            raise ValueError(f"backoff_policy is {self.backoff_policy!r}, but must be exponential or linear")
        if "datacontenttype" in self.attributes:
            raise ValueError("attributes: a filter on datacontenttype matches nothing on a RabbitMQ Broker")
        if empty := [name for name, value in self.attributes.items() if not value]:
            raise ValueError(f"attributes: {', '.join(empty)} is empty, which does not mean 'any' on a RabbitMQ Broker")

    def to_json(self) -> str:
        """The text that `from_json` reads."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: It is not a Trigger.
        """
        try:
            return cls(**json.loads(text))
        except TypeError as error:
            raise ValueError(f"is not a Trigger: {error}") from None
