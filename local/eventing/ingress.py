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
from local.eventing.topology import exchange_name

_LOG = logging.getLogger("ingress")


@dataclass(frozen=True)
class Settings:
    """What the ingress needs to know."""

    rabbitmq_url: str = setting("the AMQP address of RabbitMQ.", secret=True)
    broker: str = setting("the name of the Broker.")
    port: int = setting("the port to listen on, on the loopback address.", at_least=1)


class Ingress:
    """The ingress of one Broker; `session` is set while there is a connection to RabbitMQ."""

    def __init__(self, broker: str) -> None:
        self._exchange = exchange_name(broker)
        self.session: Session | None = None

    async def receive(self, request: web.Request) -> web.Response:
        """Answers as the Broker's ingress does: 405, 404, 400, 500 or 202, each without a body."""
        if request.method != "POST":
            return web.Response(status=405)
        if request.raw_path != "/":
            return web.Response(status=404)
        try:
            event = from_http(request.headers, await request.read())
            check(event)
            await self._publish(event)
        except InvalidEventError as error:
            _LOG.warning("refused what %s sent: %s", request.remote, error)
            return web.Response(status=400)
        except UnconfirmedError as error:
            _LOG.error("refused %s: %s", event, error)
            return web.Response(status=500)
        _LOG.info("accepted %s", event)
        return web.Response(status=202)

    async def _publish(self, event: CloudEvent) -> None:
        properties = to_amqp(event)
        if self.session is None:
            raise UnconfirmedError("there is no connection to RabbitMQ")
        await self.session.publish(self._exchange, "", properties, event.data)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until `stop`, then finishes the open requests."""
    where = amqp.parameters(settings.rabbitmq_url)
    ingress = Ingress(settings.broker)
    idle = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_keep_connected(ingress, where, idle))
        runner = web.AppRunner(_application(ingress), access_log=None, shutdown_timeout=10)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", settings.port).start()
        _LOG.info("listening on port %d", settings.port)
        await stop.wait()
        await runner.cleanup()
        idle.set()


async def _keep_connected(ingress: Ingress, where: URLParameters, until: asyncio.Event) -> None:
    async for session in amqp.sessions(where, until):
        ingress.session = session
        await amqp.first(session.closed, until)
        ingress.session = None


def _application(ingress: Ingress) -> web.Application:
    # 0 is no limit: RabbitMQ has its own.
    application = web.Application(client_max_size=0)
    application.router.add_route("*", "/{path:.*}", ingress.receive)
    return application


if __name__ == "__main__":
    process.run(Settings, serve)
