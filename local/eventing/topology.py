"""Exchanges, queues and bindings of a Broker and its Triggers."""

from collections.abc import Iterable

import pika
from pika.exceptions import ChannelClosedByBroker

from local.eventing.amqp import parameters
from local.eventing.spec import TriggerSpec


def exchange_name(broker: str) -> str:
    """The exchange that the ingress publishes to."""
    return f"broker.{broker}"


def queue_name(trigger: TriggerSpec) -> str:
    """The queue of events that wait for the Trigger's subscriber."""
    return f"trigger.{trigger.broker}.{trigger.name}"


def dead_letters_name(trigger: TriggerSpec) -> str:
    """The queue of events that wait for the Trigger's dead letter sink, and the exchange in front of it."""
    return f"{queue_name(trigger)}.dead-letters"


def declare(amqp_url: str, broker: str, triggers: Iterable[TriggerSpec]) -> None:
    """Makes what the Broker and its Triggers need, and unbinds what they no longer want; waiting events stay.

    It is what the controller of eventing-rabbitmq makes, so that its programs run on it as well.

    An ingress that publishes at that very moment answers 500 and connects anew.

    Raises:
        SettingsError: `amqp_url`, which is RABBITMQ_URL, is none.
        pika.exceptions.AMQPError: RabbitMQ cannot be reached or refuses.
    """
    with pika.BlockingConnection(parameters(amqp_url)) as connection:
        channel = connection.channel()
        # Takes the bindings of earlier filters and earlier Triggers along, which AMQP cannot list.
        channel.exchange_delete(exchange_name(broker))
        channel.exchange_declare(exchange_name(broker), exchange_type="headers", durable=True)
        for trigger in triggers:
            for queue in _queues(trigger):
                channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
            # Names with x- take no part in the match; the Trigger's keeps equal filters apart.
            arguments = {**trigger.attributes, "x-match": "all", "x-knative-trigger": trigger.name}
            channel.queue_bind(queue_name(trigger), exchange_name(broker), arguments=arguments)
            if trigger.dead_letter_url:
                name = dead_letters_name(trigger)
                channel.exchange_declare(name, exchange_type="headers", durable=True)
                channel.queue_bind(name, name, arguments={"x-match": "all", "x-knative-dlq": trigger.name})


def depths(amqp_url: str, triggers: Iterable[TriggerSpec]) -> dict[str, int]:
    """How many events wait in each queue that exists, not counting those that a dispatcher has fetched already.

    Raises:
        SettingsError: `amqp_url`, which is RABBITMQ_URL, is none.
        pika.exceptions.AMQPError: RabbitMQ cannot be reached.
    """
    with pika.BlockingConnection(parameters(amqp_url)) as connection:
        found = {queue: _depth(connection, queue) for trigger in triggers for queue in _queues(trigger)}
    return {queue: depth for queue, depth in found.items() if depth is not None}


def _depth(connection: pika.BlockingConnection, queue: str) -> int | None:
    channel = connection.channel()
    try:
        depth: int = channel.queue_declare(queue, passive=True).method.message_count
    except ChannelClosedByBroker:
        return None
    channel.close()
    return depth


def _queues(trigger: TriggerSpec) -> list[str]:
    return [queue_name(trigger)] + ([dead_letters_name(trigger)] if trigger.dead_letter_url else [])
