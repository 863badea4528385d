"""Jobs run inside of web servers, set up as the documentation prints it.

The servers are stand-ins: they do what the hooks and the lifespan protocol see of real ones.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dlq.states import State
from documents import blocks, under
from processes import Process, until
from project import tasks
from sites import HERE, Site

LATE = 20.0
WSGI = """\
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
"""

PROGRAM = """\
import time

import django
from dlq import State, queue_backend

django.setup()


def serve():
    while queue_backend().get_result("{id}").state is not State.SUCCEEDED:
        time.sleep(0.01)


"""

type Launch = Callable[..., Process]


@pytest.fixture
def launch(site: Site, tmp_path: Path) -> Iterator[Launch]:
    """Starts a server in a folder with ``mysite``, whose files a test writes."""
    folder, servers = tmp_path / "server", []
    (folder / "mysite").mkdir(parents=True)

    def start(script: str, *arguments: str, files: dict[str, str], **settings: Any) -> Process:
        for name, text in files.items():
            (folder / name).write_text(text)
        environment = site.environment({"DLQ_WORKERS": {"*": {"threads": 2}}, **settings}, None)
        path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        servers.append(
            Process(
                [sys.executable, script if script in files else str(HERE / script), *arguments],
                environment | {"PYTHONPATH": path},
                folder,
                tmp_path / "server.log",
            )
        )
        return servers[-1]

    yield start
    for server in servers:
        server.end()
        print(server.log)


def runs(site: Site, server: Process, count: int) -> set[int]:
    """The processes of the runners, as soon as there are so many of them and each has its worker."""

    def there() -> bool:
        return [len(info.workers) for info in site.runners()] == [1] * count

    until(there, LATE, lambda: f"{site.runners()}", server)
    return {info.pid for info in site.runners()}


def holds(site: Site, count: int = 1) -> list[Any]:
    held = [site.enqueue(tasks.hold, f"gate{number}") for number in range(count)]
    for number in range(count):
        site.traced("began", f"gate{number}", within=LATE)
    return held


def standing(site: Site, id: Any) -> tuple[State, int, int]:
    record = site.job(id)
    return record.state, record.attempts, record.interruptions


# --- gunicorn ---


def gunicorn_files(number: int) -> dict[str, str]:
    """The files of a site that follows the documentation, whose page has several ways."""
    config = blocks(under("embedding", "gunicorn"), "python")
    common = config[0].partition("wsgi_app")[2]
    ways = {0: config[0], 1: config[1] + "\nwsgi_app" + common}
    return {"gunicorn.conf.py": ways[number], "mysite/wsgi.py": WSGI}


@pytest.mark.parametrize("way", [0, 1], ids=["imported", "called"])
@pytest.mark.parametrize("preload", [[], ["preload"]], ids=["without preload", "with preload"])
def test_each_worker_of_gunicorn_has_a_runner(
    site: Site, launch: Launch, preload: list[str], way: int
) -> None:
    server = launch("arbiter.py", "gunicorn.conf.py", *preload, files=gunicorn_files(way))
    assert runs(site, server, 2) == set(server.children())
    held = holds(site, 4)
    server.send(signal.SIGTERM)
    site.open(*(f"gate{number}" for number in range(4)))
    assert server.wait(within=LATE) == 0
    assert {site.job(id).state for id in held} == {State.SUCCEEDED}
    assert site.runners() == []


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_when_gunicorn_loses_its_patience_jobs_go_back_uncounted(site: Site, launch: Launch) -> None:
    files = gunicorn_files(0)
    files["gunicorn.conf.py"] += "\ngraceful_timeout = 0.5\n"
    server = launch("arbiter.py", "gunicorn.conf.py", files=files)
    runs(site, server, 2)
    (held,) = holds(site)
    server.send(signal.SIGTERM)
    assert server.wait(within=LATE) == 0
    assert standing(site, held) == (State.READY, 0, 0)
    assert site.runners() == []


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_worker_of_gunicorn_that_is_killed_loses_no_job(site: Site, launch: Launch) -> None:
    server = launch("arbiter.py", "gunicorn.conf.py", files=gunicorn_files(0))
    runs(site, server, 2)
    (held,) = holds(site)
    os.kill(site.traces("began", "gate0")[0].pid, signal.SIGKILL)
    site.traced("began", "gate0", times=2, within=LATE)
    site.open("gate0")
    assert (site.settled(held).state, site.job(held).interruptions) == (State.SUCCEEDED, 1)


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_wrong_settings_leave_gunicorn_serving_and_are_named(site: Site, launch: Launch) -> None:
    server = launch("arbiter.py", "gunicorn.conf.py", files=gunicorn_files(0), DLQ_WORKERS={"a b": 1})
    server.logged("The runner cannot start; this worker serves requests only.", within=LATE)
    server.logged("serves with WSGIHandler", within=LATE)
    assert "'a b'" in server.log
    server.send(signal.SIGTERM)
    assert server.wait(within=LATE) == 0


# --- ASGI ---


def asgi_files() -> dict[str, str]:
    (code,) = blocks(under("embedding", "ASGI"), "python")
    return {"mysite/asgi.py": code}


def asgi(launch: Launch, **settings: Any) -> Process:
    return launch("asgi_server.py", "mysite.asgi:application", files=asgi_files(), **settings)


def test_an_asgi_server_runs_jobs_from_its_startup_to_its_shutdown(site: Site, launch: Launch) -> None:
    server = asgi(launch)
    server.logged("lifespan.startup.complete", within=LATE)
    assert runs(site, server, 1) == {server.pid}
    (held,) = holds(site)
    server.send(signal.SIGTERM)
    site.open("gate0")
    assert server.wait(within=LATE) == 0
    assert "lifespan.shutdown.complete" in server.log
    assert site.job(held).state is State.SUCCEEDED
    assert site.runners() == []


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_what_takes_longer_than_the_shutdown_of_an_asgi_server_goes_back(site: Site, launch: Launch) -> None:
    server = asgi(launch, DLQ_SHUTDOWN_TIMEOUT=0.2)
    server.logged("lifespan.startup.complete", within=LATE)
    (held,) = holds(site)
    server.send(signal.SIGTERM)
    assert server.wait(within=LATE) == 0
    assert standing(site, held) == (State.READY, 0, 0)


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_wrong_settings_keep_an_asgi_server_from_starting(site: Site, launch: Launch) -> None:
    server = asgi(launch, DLQ_WORKERS={"a b": 1})
    assert server.wait(within=LATE) == 3
    assert "lifespan.startup.failed DLQ: 'a b' in the queue selector" in server.log


@pytest.mark.parametrize("migrated", [False])
@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_store_that_is_not_ready_does_not(site: Site, launch: Launch) -> None:
    server = asgi(launch)
    server.logged("lifespan.startup.complete", within=LATE)
    server.send(signal.SIGTERM)
    assert server.wait(within=LATE) == 0


# --- Any other program ---


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_program_of_its_own_embeds_a_runner(site: Site, launch: Launch) -> None:
    (code,) = blocks(under("embedding", "Any other program"), "python")
    done = site.enqueue(tasks.mark, "done")
    other = site.enqueue(tasks.mark.using(queue="other"), "other")
    server = launch("program.py", files={"program.py": PROGRAM.format(id=done) + code})
    assert server.wait(within=LATE) == 0
    assert standing(site, other) == (State.READY, 0, 0)
    assert site.runners() == []
