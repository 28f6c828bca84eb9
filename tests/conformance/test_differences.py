"""Where `local` is not as the original, on purpose: what each of them does (see docs/conformance.md)."""

import pika

from local.eventing import topology
from tests.conformance.conftest import Broker
from tests.eventing import Answer, subscriber
from tests.waiting import until


def test_a_redirect_drops_the_event_or_is_followed(broker: Broker) -> None:
    with subscriber() as elsewhere:
        moved = {"Location": elsewhere.url}
        with (
            subscriber(lambda request: Answer(int(request.id), moved)) as peer,
            broker.dispatching(broker.trigger(peer)),
        ):
            for status in ("307", "308", "204"):
                broker.send(status)
            until(lambda: "204" in peer.ids())
    assert peer.ids() == ["307", "308", "204"]
    assert elsewhere.ids() == {"local": [], "knative": ["307", "308"]}[broker.plane.name]


def test_cloudevents_0_3_is_refused_or_taken(broker: Broker) -> None:
    broker.declare()
    answer = broker.send("e1", ce_specversion="0.3")
    assert answer.status_code == {"local": 400, "knative": 202}[broker.plane.name]


def test_a_dead_letter_that_cannot_be_stored_is_tried_anew_or_lost(broker: Broker) -> None:
    with subscriber(lambda request: Answer(500 if request.id == "fails" else 204)) as peer, subscriber() as dead:
        trigger = broker.trigger(peer, dead)
        with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
            connection.channel().exchange_delete(topology.dead_letters_name(trigger))
        with broker.dispatching(trigger):
            broker.send("fails")
            until(lambda: peer.received)
            broker.declare(trigger)
            broker.send("works")
            until(lambda: "works" in peer.ids())
            if broker.plane.name == "local":
                until(lambda: dead.received)
    assert set(dead.ids()) == {"local": {"fails"}, "knative": set()}[broker.plane.name]
