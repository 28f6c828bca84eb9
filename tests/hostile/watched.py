"""Watches ffmpeg with strace: what files and addresses it asks the kernel for, whether or not it gets them."""

import contextlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import ffmpeg

#: What a program needs to begin, and what ffmpeg asks the machine about itself.
_OWN = re.compile(
    r"/(etc/(ld\.so|localtime)|lib|usr/lib|proc/(self|cpuinfo|meminfo|sys|stat)|sys/devices|dev/(null|u?random))"
)
_CALL = re.compile(r"\b(?:open|openat|openat2)\((?:[^,\"]*, )?\"((?:[^\"\\]|\\.)*)\"")
_ADDRESS = re.compile(r"\b(?:connect|bind|sendto|sendmsg|sendmmsg)\(.*?sa_family=(.*?)\}")
_READER = re.compile(r"sin_port=htons\((\d+)\), sin_addr=inet_addr\(\"127\.0\.0\.1\"\)")
_GIVEN = re.compile(r"-i\W+http://127\.0\.0\.1:(\d+)/")
_TRACED = "execve,open,openat,openat2,connect,bind,sendto,sendmsg,sendmmsg"


@dataclass
class Watch:
    """The traces of the runs so far."""

    folder: Path
    runs: int = field(default=0)

    def reached(self) -> list[str]:
        """What was asked for beyond the reader of the run itself; forgets it."""
        found: list[str] = []
        for trace in self.folder.glob("*.trace"):
            text = trace.read_text(errors="replace")
            found += _beyond(text)
            self.runs += 1
            trace.unlink()
        return found


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[Watch]:
    """Has each run of ffmpeg watched until the block ends."""
    folder.mkdir()
    program = folder / "ffmpeg"
    arguments = f"-f -qq -s 4096 -e trace={_TRACED} -o {shlex.quote(str(folder))}/$$.trace"
    program.write_text(f'#!/bin/sh\nexec strace {arguments} {shlex.quote(ffmpeg.executable())} "$@"\n')
    program.chmod(0o755)
    with mock.patch.object(ffmpeg, "executable", lambda: str(program)):
        yield Watch(folder)


def _beyond(trace: str) -> Iterator[str]:
    given = set(_GIVEN.findall(trace))
    for line in trace.splitlines():
        if (opened := _CALL.search(line)) and not _OWN.match(opened[1]):
            yield line
        if called := _ADDRESS.search(line):
            port = _READER.search(called[1])
            if port is None or port[1] not in given:
                yield line
