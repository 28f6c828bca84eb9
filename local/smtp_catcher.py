"""An SMTP server that keeps every mail as a file and sends none: `python -m local.smtp_catcher`.

PORT is where it listens on the loopback address; MAIL_DIRECTORY gets one `<nanoseconds>.eml` for each mail.
"""

import asyncio
import os
import signal
import time
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session


class Catcher:
    """The aiosmtpd handler that writes a mail to `directory` before it answers 250."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's
        """Keeps the mail as it came, under a name that sorts by time."""
        content = envelope.content
        path = self._directory / f"{time.time_ns()}.eml"
        # Renamed when whole: whoever lists the directory sees no half mail.
        part = path.with_suffix(".part")
        part.write_bytes(content.encode() if isinstance(content, str) else content or b"")
        part.rename(path)
        print(f"{path.name}: {envelope.mail_from} -> {', '.join(envelope.rcpt_tos)}", flush=True)
        return "250 OK"


async def main() -> None:
    """Serves until SIGTERM."""
    directory = Path(os.environ["MAIL_DIRECTORY"])
    directory.mkdir(parents=True, exist_ok=True)
    handler = Catcher(directory)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="localhost", enable_SMTPUTF8=True), "127.0.0.1", int(os.environ["PORT"])
    )
    async with server:
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
