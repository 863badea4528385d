"""``Proxy``: a TCP connection to a server that fails when a test wants it to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

CHUNK = 65_536
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 s: closing then resets the connection.


class Proxy:
    """Listens on ``port`` of the loopback and passes on what comes, to and from a server.

    The attributes may be set at any time, by any thread.
    """

    def __init__(self, host: str, port: int) -> None:
        """Start to listen; ``host`` and ``port`` are the server's."""
        self.refuse = False
        """Reset new connections."""
        self.stall = False
        """Pass nothing on, in either direction, until it is False again."""
        self.withhold_replies = False
        """Pass requests on, but no replies, until it is False again."""
        self.withhold_after: tuple[bytes, ...] = ()
        """The same on each connection from when requests with these texts, in this order, were passed on."""
        self.delay = 0.0
        """Seconds for which everything is held up, in either direction."""
        self.cut_in_reply = False
        """Pass half of the next reply of each connection on, and reset it."""
        self._server = (host, port)
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._listener = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._listener.sockets[0].getsockname()[1]

    def url(self, url: str) -> str:
        """The way through this proxy to what ``url`` names on its server."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}").geturl()

    def cut(self) -> None:
        """Reset every connection; what was not passed on yet is lost."""
        self._do(self._cut())

    def close(self) -> None:
        """Cut everything, and listen no more."""
        self.stall = self.withhold_replies = False
        self.withhold_after = ()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do[T](self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    # --- On the loop ---

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._open.add(to_client)
        try:
            if not self.refuse:
                await self._connect(from_client, to_client)
        finally:
            self._reset(to_client)

    async def _connect(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection(*self._server)
        except OSError:
            return  # Nobody is there: the client is refused, as it would be without a proxy.
        self._open.add(to_server)
        seen: list[bytes] = []
        requests = asyncio.ensure_future(self._pass_on_requests(from_client, to_server, seen))
        replies = asyncio.ensure_future(self._pass_on_replies(from_server, to_client, seen))
        try:
            await asyncio.wait({requests, replies}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._reset(to_server)
            requests.cancel()
            replies.cancel()
            await asyncio.gather(requests, replies, return_exceptions=True)

    async def _pass_on_requests(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, seen: list[bytes]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                while self.stall:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
                awaited = self.withhold_after[len(seen) :]
                if awaited and awaited[0] in data:
                    seen.append(awaited[0])
                if self.delay:
                    await asyncio.sleep(self.delay)
                target.write(data)
                await target.drain()

    async def _pass_on_replies(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, seen: list[bytes]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                while self.stall or self._withholds(seen):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self.cut_in_reply:
                    target.write(data[: len(data) // 2])
                    await target.drain()
                    return
                target.write(data)
                await target.drain()

    def _withholds(self, seen: list[bytes]) -> bool:
        return self.withhold_replies or (bool(seen) and len(seen) == len(self.withhold_after))

    async def _cut(self) -> None:
        for writer in list(self._open):
            self._reset(writer)

    async def _end(self) -> None:
        self._listener.close()
        self.refuse = True  # A connection may have been accepted a moment ago, and not be served yet.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await self._cut()
            await asyncio.wait(others, timeout=0.05)
        await asyncio.sleep(0.01)  # What was reset is closed on the next turns of the loop.

    def _reset(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        with contextlib.suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        writer.transport.abort()
