"""The Broker's ingress: takes CloudEvents over HTTP and answers 202 once RabbitMQ has them for good."""

import asyncio
import logging
from dataclasses import dataclass

from aiohttp import web
from pika import URLParameters

from audiolift.settings import setting
from local.eventing import amqp, process
from local.eventing.amqp import Session, UnconfirmedError
from local.eventing.cloudevent import CloudEvent, InvalidEventError, check, from_http, to_amqp
from local.eventing.process import first, happens
from local.eventing.topology import exchange_name

_LOG = logging.getLogger("ingress")
_GRACE_S = 10.0


@dataclass(frozen=True)
class Settings:
    """What the ingress needs to know."""

    rabbitmq_url: str = setting("the AMQP address of RabbitMQ.", secret=True)
    broker: str = setting("the name of the Broker.")
    port: int = setting("the port to listen on, on the loopback address.", at_least=1)


class Ingress:
    """The ingress of one Broker.

    Attributes:
        session: Set while there is a connection to RabbitMQ.
        idle: Set while there is no open request.
    """

    def __init__(self, broker: str) -> None:
        self.session: Session | None = None
        self.idle = asyncio.Event()
        self.idle.set()
        self._exchange = exchange_name(broker)
        self._open = 0

    async def receive(self, request: web.Request) -> web.Response:
        """Answers as the Broker's ingress does: 405, 404, 400, 500 or 202, each without a body."""
        self._open += 1
        self.idle.clear()
        try:
            return web.Response(status=await self._take(request))
        finally:
            self._open -= 1
            if not self._open:
                self.idle.set()

    async def _take(self, request: web.Request) -> int:
        if request.method != "POST":
            return 405
        if request.raw_path != "/":
            return 404
        try:
            event = from_http(request.headers, await request.read())
            check(event)
            await self._publish(event)
        except InvalidEventError as error:
            _LOG.warning("refused what %s sent: %s", request.remote, error)
            return 400
        except UnconfirmedError as error:
            _LOG.error("refused %s: %s", event, error)
            return 500
        _LOG.info("accepted %s", event)
        return 202

    async def _publish(self, event: CloudEvent) -> None:
        properties = to_amqp(event)
        if self.session is None:
            raise UnconfirmedError("there is no connection to RabbitMQ")
        await self.session.publish(self._exchange, "", properties, event.data)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until `stop`, then finishes the open requests."""
    where = amqp.parameters(settings.rabbitmq_url)
    ingress = Ingress(settings.broker)
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_keep_connected(ingress, where, done))
        runner = web.AppRunner(_application(ingress), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", settings.port)
        await site.start()
        _LOG.info("listening on port %d", settings.port)
        await stop.wait()
        await site.stop()
        # aiohttp's own shutdown reads no more of a body that is still arriving.
        await happens(ingress.idle, _GRACE_S)
        await runner.cleanup()
        done.set()


async def _keep_connected(ingress: Ingress, where: URLParameters, until: asyncio.Event) -> None:
    async for session in amqp.sessions(where, until):
        ingress.session = session
        await first(session.closed, until)
        ingress.session = None


def _application(ingress: Ingress) -> web.Application:
    # 0 is no limit: RabbitMQ has its own.
    application = web.Application(client_max_size=0)
    application.router.add_route("*", "/{path:.*}", ingress.receive)
    return application


if __name__ == "__main__":
    process.run(Settings, serve)
