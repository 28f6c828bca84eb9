"""Ingress and dispatcher live through a RabbitMQ that says nothing."""

import threading

from local.eventing import topology
from local.eventing.spec import TriggerSpec
from tests.eventing import Answer, Received, dispatcher, ingress, send, subscriber
from tests.outages import Server
from tests.waiting import until

BROKER = "outage-tests"


def test_no_202_and_no_endless_wait_while_rabbitmq_is_frozen(outage: Server) -> None:
    topology.declare(outage.url, BROKER, [])
    with ingress(outage.url, BROKER) as (url, running):
        running.says("connected")
        with outage.frozen():
            assert send(url, "frozen").status_code == 500
            assert running.ends() == 0


def test_a_dead_letter_that_cannot_be_stored_is_tried_anew(outage: Server) -> None:
    frozen = threading.Event()

    def fail(_request: Received) -> Answer:
        frozen.wait(60)
        return Answer(500)

    with subscriber(fail) as peer, subscriber() as dead:
        trigger = TriggerSpec(name="dead", broker=BROKER, subscriber_url=peer.url, dead_letter_url=dead.url)
        topology.declare(outage.url, BROKER, [trigger])
        with ingress(outage.url, BROKER) as (url, taking), dispatcher(outage.url, trigger) as running:
            taking.says("connected")
            assert send(url, "e1").status_code == 202
            until(lambda: peer.received)
            with outage.frozen():
                frozen.set()
                running.says("cannot store a dead letter")
                running.says("the connection has ended")
            until(lambda: dead.received)
            assert running.ends() == 0
    assert set(dead.ids()) == {"e1"}
