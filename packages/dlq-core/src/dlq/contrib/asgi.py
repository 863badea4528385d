"""``DlqLifespan``: jobs run inside of an ASGI server, from its start-up to its shutdown.

In ``asgi.py``::

    from django.core.asgi import get_asgi_application
    from dlq.contrib.asgi import DlqLifespan

    application = DlqLifespan(get_asgi_application())

Each process of the server has a runner of its own, which heeds no signals: the server tells it to stop, by the
lifespan protocol (https://asgi.readthedocs.io/en/latest/specs/lifespan.html). A server that does not speak it,
such as Daphne, starts no runner.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from dlq.logs import get_logger
from dlq.runtime.inprocess import InProcessRunner

__all__ = ["DlqLifespan"]

logger = get_logger("dlq.runner")

type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type Application = Callable[[Message, Receive, Send], Awaitable[None]]

STARTUP, SHUTDOWN = "lifespan.startup", "lifespan.shutdown"

LAST_MOMENT = 1.0
"""Seconds that the wrapped application has to return when its lifespan is over."""


class DlqLifespan:
    """Wraps an ASGI application: its own lifespan is forwarded if it has one, and all else is left as it is."""

    def __init__(
        self, app: Application, make_runner: Callable[[], InProcessRunner] = InProcessRunner.from_settings
    ) -> None:
        """``make_runner`` is called at start-up, in a thread: by default the runner has what the settings ask for."""
        self._app = app
        self._make_runner = make_runner

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection, or the lifespan of the server."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        inner = _Inner(self._app, scope)
        try:
            await self._live(inner, receive, send)
        finally:
            await inner.end()

    async def _live(self, inner: _Inner, receive: Receive, send: Send) -> None:
        await _told(receive, STARTUP)
        # The application first, and last when all ends: jobs may use what it has made.
        reply = await inner.tell(STARTUP)
        if reply["type"] == f"{STARTUP}.complete":
            try:
                runner = await asyncio.to_thread(self._start)
            except Exception as error:
                logger.exception("The runner cannot start.")
                await inner.tell(SHUTDOWN)
                reply = {"type": f"{STARTUP}.failed", "message": f"DLQ: {error}"}
            else:
                await send(reply)
                try:
                    await _told(receive, SHUTDOWN)
                finally:
                    await asyncio.to_thread(runner.stop)
                reply = await inner.tell(SHUTDOWN)
        await send(reply)

    def _start(self) -> InProcessRunner:
        runner = self._make_runner()
        runner.start()
        return runner


class _Inner:
    """The lifespan of the wrapped application, if it has one: many raise an error, and that means no."""

    def __init__(self, app: Application, scope: Message) -> None:
        self._app = app
        self._scope = scope
        self._heard: asyncio.Queue[Message] = asyncio.Queue()
        self._said: asyncio.Queue[Message | None] = asyncio.Queue()
        """None comes last, when the application has returned or raised."""
        self._task: asyncio.Task[None] | None = None

    async def tell(self, what: str) -> Message:
        """Its reply; where it has none, that all went well."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        self._heard.put_nowait({"type": what})
        reply = await self._said.get()
        if reply is not None:
            return reply
        self._said.put_nowait(None)
        return {"type": f"{what}.complete"}

    async def end(self) -> None:
        """Leave no task behind."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=LAST_MOMENT)
            self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._heard.get, self._said.put)
        except Exception as error:
            # Django's own application says so with ValueError, which is nothing to talk about.
            level = logging.DEBUG if isinstance(error, ValueError) else logging.WARNING
            logger.log(level, "The wrapped application has no lifespan, or it failed: %r", error)
        finally:
            self._said.put_nowait(None)


async def _told(receive: Receive, what: str) -> None:
    while (await receive())["type"] != what:
        pass
