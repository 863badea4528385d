"""``DlqLifespan``, driven by hand as a server does it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from pytest_django import Settings as DjangoSettings

from dlq import MemoryBackend, State, task
from dlq.contrib.asgi import DlqLifespan
from dlq.errors import ConfigError
from dlq.runtime.inprocess import InProcessRunner

type Message = dict[str, Any]

STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}
STARTED, STOPPED = {"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}
LATE = 30.0


class Server:
    """The side of the protocol that a server has."""

    def __init__(self, app: Any) -> None:
        self.scope: Message = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._heard: asyncio.Queue[Message] = asyncio.Queue()
        self.serving = asyncio.create_task(app(self.scope, self._told.get, self._heard.put))

    async def tell(self, message: Message) -> Message:
        """The application's reply."""
        self._told.put_nowait(message)
        return await asyncio.wait_for(self._heard.get(), LATE)

    async def is_over(self) -> bool:
        await asyncio.wait_for(self.serving, LATE)
        return self._heard.empty()


class Diary(list[str]):
    """What happened, in order."""


class Runner:
    """Stands in for a runner, where only its beginning and end count."""

    def __init__(self, diary: Diary, error: Exception | None = None) -> None:
        self._diary = diary
        self._error = error

    def start(self) -> None:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()  # It may block: it must not be in the thread of the loop.
        if self._error:
            raise self._error
        self._diary.append("runner starts")

    def stop(self) -> None:
        self._diary.append("runner stops")


class Application:
    """An application that has a lifespan."""

    def __init__(self, diary: Diary, *, reply: Message = STARTED, leaves: bool = False) -> None:
        self.diary = diary
        self._reply = reply
        self._leaves = leaves

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        assert await receive() == STARTUP
        self.diary.append("app starts")
        scope["state"]["made"] = "by the app"
        await send(self._reply)
        if self._leaves or self._reply != STARTED:
            return
        assert await receive() == SHUTDOWN
        self.diary.append("app stops")
        await send(STOPPED)


@pytest.fixture
def diary() -> Diary:
    return Diary()


def lived(wrapped: Any, diary: Diary) -> list[Message]:
    """The replies of an application whose server starts and stops."""

    async def live() -> list[Message]:
        server = Server(DlqLifespan(wrapped, lambda: Runner(diary)))  # type: ignore[arg-type,return-value]
        replies = [await server.tell(STARTUP)]
        diary.append("requests")
        if replies == [STARTED]:
            replies.append(await server.tell(SHUTDOWN))
        assert await server.is_over()
        return replies

    return asyncio.run(live())


async def raise_value_error(scope: Message, receive: Any, send: Any) -> None:
    raise ValueError("Django can only handle ASGI/HTTP connections, not lifespan.")


async def return_at_once(scope: Message, receive: Any, send: Any) -> None: ...


# --- The wrapped application ---


@pytest.mark.parametrize("wrapped", [raise_value_error, return_at_once])
def test_an_application_without_a_lifespan_needs_none(
    wrapped: Any, diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    assert lived(wrapped, diary) == [STARTED, STOPPED]
    assert diary == ["runner starts", "requests", "runner stops"]
    assert caplog.messages == []


def test_a_lifespan_of_the_application_goes_around_that_of_the_runner(diary: Diary) -> None:
    assert lived(Application(diary), diary) == [STARTED, STOPPED]
    assert diary == ["app starts", "runner starts", "requests", "runner stops", "app stops"]


def test_the_state_of_the_server_reaches_the_application(diary: Diary) -> None:
    async def live() -> None:
        server = Server(DlqLifespan(Application(diary), lambda: Runner(diary)))  # type: ignore[arg-type,return-value]
        await server.tell(STARTUP)
        assert server.scope["state"] == {"made": "by the app"}
        await server.tell(SHUTDOWN)

    asyncio.run(live())


def test_an_application_that_cannot_start_says_why_and_no_runner_starts(diary: Diary) -> None:
    failed = {"type": "lifespan.startup.failed", "message": "no licence"}
    assert lived(Application(diary, reply=failed), diary) == [failed]
    assert diary == ["app starts", "requests"]


def test_an_application_that_says_why_it_failed_and_raises_is_heard(diary: Diary) -> None:
    failed = {"type": "lifespan.startup.failed", "message": "no licence"}

    async def fail(scope: Message, receive: Any, send: Any) -> None:
        await send(failed)
        raise ZeroDivisionError

    assert lived(fail, diary) == [failed]


def test_an_application_that_left_before_the_end_is_not_waited_for(diary: Diary) -> None:
    assert lived(Application(diary, leaves=True), diary) == [STARTED, STOPPED]
    assert diary == ["app starts", "runner starts", "requests", "runner stops"]


def test_a_failure_that_may_be_more_than_a_missing_lifespan_is_logged(
    diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(scope: Message, receive: Any, send: Any) -> None:
        raise KeyError("lost")

    assert lived(fail, diary) == [STARTED, STOPPED]
    assert "has no lifespan, or it failed: KeyError('lost')" in caplog.text


def test_other_connections_are_left_as_they_are(diary: Diary) -> None:
    seen: list[Any] = []

    async def app(*connection: Any) -> None:
        seen.extend(connection)

    scope: Message = {"type": "http", "path": "/"}

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None: ...

    asyncio.run(DlqLifespan(app, lambda: Runner(diary))(scope, receive, send))  # type: ignore[arg-type,return-value]
    assert [id(part) for part in seen] == [id(scope), id(receive), id(send)]
    assert diary == []


# --- The runner ---


def test_a_runner_that_cannot_start_keeps_the_server_from_starting(diary: Diary) -> None:
    async def live() -> None:
        runner = Runner(diary, ConfigError("DLQ_WORKERS is wrong."))
        server = Server(DlqLifespan(Application(diary), lambda: runner))  # type: ignore[arg-type,return-value]
        reply = await server.tell(STARTUP)
        assert reply == {"type": "lifespan.startup.failed", "message": "DLQ: DLQ_WORKERS is wrong."}
        assert await server.is_over()

    asyncio.run(live())
    assert diary == ["app starts", "app stops"]


def test_a_server_that_gives_up_takes_the_runner_with_it(diary: Diary) -> None:
    async def live() -> None:
        server = Server(DlqLifespan(return_at_once, lambda: Runner(diary)))  # type: ignore[arg-type,return-value]
        await server.tell(STARTUP)
        server.serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await server.serving

    asyncio.run(live())
    assert diary == ["runner starts", "runner stops"]


def test_an_application_that_never_returns_is_cancelled(
    diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlq.contrib.asgi.LAST_MOMENT", 0.0)
    cancelled: list[bool] = []

    async def stay(scope: Message, receive: Any, send: Any) -> None:
        for reply in (STARTED, STOPPED):
            await receive()
            await send(reply)
        try:
            await receive()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    assert lived(stay, diary) == [STARTED, STOPPED]
    assert cancelled == [True]


@task
def greet() -> str:
    return "hello"


@pytest.fixture
def quick(memory: MemoryBackend, settings: DjangoSettings) -> MemoryBackend:
    options = {"poll_interval": 0.02, "heartbeat_interval": 0.02, "alive_threshold": 1.0}
    settings.TASKS = {"default": {"BACKEND": "dlq.MemoryBackend", "OPTIONS": options}}
    settings.DLQ_WORKERS = {"default": 1}
    return memory


def test_jobs_run_while_the_server_of_a_django_site_does(
    quick: MemoryBackend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def live() -> Any:
        server = Server(DlqLifespan(get_asgi_application()))
        assert await server.tell(STARTUP) == STARTED
        result = greet.enqueue()
        await asyncio.wait_for(until(lambda: result.refresh() or result.is_finished), LATE)
        assert await server.tell(SHUTDOWN) == STOPPED
        return result

    result = asyncio.run(live())
    assert (result.state, result.return_value) == (State.SUCCEEDED, "hello")
    assert quick.inspector.runners() == []
    assert "has no lifespan" not in caplog.text


def test_the_default_runner_is_that_of_the_settings(quick: MemoryBackend, settings: DjangoSettings) -> None:
    settings.DLQ_WORKERS = {"mail,*": {"threads": 4}}
    runner = InProcessRunner.from_settings()
    assert [(pool.selector.text, pool.threads) for pool, _ in runner.pools] == [("mail,*", 4)]


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
