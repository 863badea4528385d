"""Stands in for an ASGI server, as far as the lifespan goes: ``python asgi_server.py APPLICATION``."""

from __future__ import annotations

import asyncio
import importlib
import signal
import sys
from pathlib import Path
from typing import Any


async def main(path: str) -> int:
    module, _, name = path.partition(":")
    application = getattr(importlib.import_module(module), name)
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    living = asyncio.create_task(application(scope, told.get, heard.put))
    for step in ("startup", "shutdown"):
        await told.put({"type": f"lifespan.{step}"})
        reply = await heard.get()
        print(reply["type"], reply.get("message", ""), flush=True)
        if reply["type"] != f"lifespan.{step}.complete":
            return 3
        if step == "startup":
            await stopping.wait()
    await living
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    sys.exit(asyncio.run(main(sys.argv[1])))
