"""What becomes of the events under way when a dispatcher is killed, or RabbitMQ restarts."""

import threading

from tests.conformance.conftest import Broker, accepts, running_broker
from tests.conformance.planes import Plane
from tests.eventing import Answer, Received, Subscriber, held, subscriber
from tests.outages import Server
from tests.waiting import until


def test_killed_in_the_middle_it_delivers_again(broker: Broker) -> None:
    release = threading.Event()
    with subscriber(held(release)) as peer:
        trigger = broker.trigger(peer)
        with broker.dispatching(trigger) as running:
            broker.send("e1")
            until(lambda: peer.received)
            running.kill()
        until(lambda: broker.waiting(trigger) == 1)
        release.set()
        with broker.dispatching(trigger):
            until(lambda: len(peer.received) == 2)
    assert peer.ids() == ["e1", "e1"]


def test_killed_again_and_again_it_loses_no_event_that_the_subscriber_takes(broker: Broker) -> None:
    """Each kill comes at another place: on the way to the subscriber, at its answer, at an ack."""
    everything = [str(number) for number in range(120)]
    with subscriber(lambda _request: Answer()) as peer:
        trigger = broker.trigger(peer, parallelism=4)
        for number in everything:
            broker.send(number)
        for goal in range(15, 120, 15):
            with broker.dispatching(trigger) as running:
                _wait_for(peer, goal)
                running.kill()
        with broker.dispatching(trigger):
            until(lambda: {*peer.ids()} == {*everything})


def _wait_for(peer: Subscriber, count: int) -> None:
    until(lambda: len({*peer.ids()}) >= count)


def test_a_restart_of_rabbitmq_loses_nothing(plane: Plane, outage: Server) -> None:
    release = threading.Event()

    def hold(request: Received) -> Answer:
        if request.id == "under way":
            release.wait(60)
        return Answer()

    with subscriber(hold) as peer, running_broker(plane, outage.url) as broker:
        trigger = broker.trigger(peer)
        with broker.dispatching(trigger):
            assert broker.send("under way").status_code == 202
            assert broker.send("waiting").status_code == 202
            until(lambda: peer.received)
            outage.stop()
            assert broker.send("refused").status_code == 500
            outage.start()
            until(lambda: accepts(broker))
            assert broker.send("after").status_code == 202
            # Nothing is delivered a second time while the first POST still runs.
            assert peer.ids() == ["under way"]
            release.set()
            until(lambda: "after" in peer.ids())
    ids = [event_id for event_id in peer.ids() if event_id != "probe"]
    # A dispatcher may have fetched the one that waits, and then delivers it from before the restart as well.
    assert (ids[0], ids[-1], ids.count("under way")) == ("under way", "after", 2)
    assert {*ids} == {"under way", "waiting", "after"}
