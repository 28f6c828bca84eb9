"""What ends is started again, as soon as that is possible."""

import asyncio
import logging
from pathlib import Path

import pytest

from local import keeping
from local.keeping import Kept
from local.processes import Program


def test_what_cannot_be_started_just_now_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeping, "_PAUSE_S", 0.01)
    caplog.set_level(logging.ERROR)
    script, elsewhere = tmp_path / "script", tmp_path / "elsewhere"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o755)

    async def run() -> None:
        kept = Kept(Program(name="script", command=(str(script),), directory=tmp_path), tmp_path)
        await kept.start()
        try:
            first = kept.process
            assert first
            script.rename(elsewhere)
            await first.stop()
            async with asyncio.timeout(20):
                while "script is not started yet" not in caplog.text:
                    await asyncio.sleep(0.01)
                elsewhere.rename(script)
                while kept.process is first:
                    await asyncio.sleep(0.01)
            assert kept.process and kept.process.running
        finally:
            await kept.stop()

    asyncio.run(run())
