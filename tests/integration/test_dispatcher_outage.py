"""Ingress and dispatcher live through what happens to RabbitMQ."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local import servers
from local.eventing import topology
from local.eventing.spec import TriggerSpec
from local.ports import free_port
from local.processes import Process, Program, start
from tests.eventing import Answer, Received, dispatcher, ingress, send, subscriber
from tests.waiting import until

BROKER = "outage-tests"


@dataclass
class RabbitMQ:
    """A RabbitMQ of these tests' own, which they may stop."""

    url: str
    program: Program
    home: Path
    process: Process

    def stop(self) -> None:
        asyncio.run(self.process.stop())

    def start(self) -> None:
        self.process = asyncio.run(start(self.program, self.home))


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[RabbitMQ]:
    port, distribution, names = free_port(), free_port(), free_port()
    directory = home / "rabbitmq-outage"
    epmd = asyncio.run(start(servers.epmd(directory, names), home))
    program = servers.rabbitmq(directory, port, distribution_port=distribution, epmd_port=names)
    running = RabbitMQ(servers.rabbitmq_url(port), program, home, asyncio.run(start(program, home)))
    yield running
    running.stop()
    asyncio.run(epmd.stop())


def test_a_restart_loses_nothing(server: RabbitMQ) -> None:
    release = threading.Event()

    def hold(request: Received) -> Answer:
        if request.id == "under way":
            release.wait(60)
        return Answer()

    with subscriber(hold) as peer, ingress(server.url, BROKER) as (url, taking):
        trigger = TriggerSpec(name="restart", broker=BROKER, subscriber_url=peer.url)
        topology.declare(server.url, BROKER, [trigger])
        with dispatcher(server.url, trigger) as giving:
            taking.says("connected")
            assert send(url, "under way").status_code == 202
            assert send(url, "waiting").status_code == 202
            until(lambda: peer.received)
            server.stop()
            giving.says("the connection has ended")
            taking.says("the connection has ended")
            assert send(url, "refused").status_code == 500
            with ingress(server.url, BROKER) as (early_url, early):
                early.says("cannot connect")
                assert send(early_url, "early").status_code == 500
                server.start()
                early.says("connected")
            until(lambda: send(url, "after").status_code == 202)
            # Nothing is delivered a second time while the first POST still runs.
            assert peer.ids() == ["under way"]
            release.set()
            until(lambda: "after" in peer.ids())
            assert giving.ends() == 0
        assert taking.ends() == 0
    assert peer.ids() == ["under way", "under way", "waiting", "after"]
    assert topology.depths(server.url, [trigger]) == {topology.queue_name(trigger): 0}


def test_no_202_and_no_endless_wait_while_rabbitmq_is_frozen(server: RabbitMQ) -> None:
    topology.declare(server.url, BROKER, [])
    with ingress(server.url, BROKER) as (url, running):
        running.says("connected")
        os.killpg(server.process.pid, signal.SIGSTOP)
        try:
            assert send(url, "frozen").status_code == 500
            assert running.ends() == 0
        finally:
            os.killpg(server.process.pid, signal.SIGCONT)


def test_a_dead_letter_that_cannot_be_stored_is_tried_anew(server: RabbitMQ) -> None:
    frozen = threading.Event()

    def fail(_request: Received) -> Answer:
        frozen.wait(60)
        return Answer(500)

    with subscriber(fail) as peer, subscriber() as dead:
        trigger = TriggerSpec(name="dead", broker=BROKER, subscriber_url=peer.url, dead_letter_url=dead.url)
        topology.declare(server.url, BROKER, [trigger])
        with ingress(server.url, BROKER) as (url, taking), dispatcher(server.url, trigger) as running:
            taking.says("connected")
            assert send(url, "e1").status_code == 202
            until(lambda: peer.received)
            os.killpg(server.process.pid, signal.SIGSTOP)
            try:
                frozen.set()
                running.says("cannot store a dead letter")
                running.says("the connection has ended")
            finally:
                os.killpg(server.process.pid, signal.SIGCONT)
            until(lambda: dead.received)
            assert running.ends() == 0
    assert set(dead.ids()) == {"e1"}
