"""Stands in for gunicorn, as far as its hooks see it: ``python arbiter.py CONFIG [preload]``.

Reads the configuration file as gunicorn does, forks workers that load the application, before the fork with
``preload`` and else after it, and passes SIGTERM on to them. A worker calls ``post_fork`` before it loads the
application, and ``worker_exit`` last.
"""

from __future__ import annotations

import importlib
import os
import runpy
import signal
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn


class Config(SimpleNamespace):
    """gunicorn's settings, with those of its defaults that count here."""

    def __init__(self, file: str) -> None:
        found = {name: value for name, value in runpy.run_path(file).items() if not name.startswith("_")}
        defaults = {
            "workers": 1,
            "timeout": 30,
            "graceful_timeout": 30,
            "post_fork": lambda server, worker: None,
            "worker_exit": lambda server, worker: None,
        }
        super().__init__(**(defaults | found))


def load(app: str) -> Any:
    module, _, name = app.partition(":")
    return getattr(importlib.import_module(module), name)


def work(server: Any, worker: Any, preloaded: Any) -> NoReturn:
    code = 0
    try:
        server.cfg.post_fork(server, worker)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        application = preloaded or load(server.cfg.wsgi_app)
        print(f"worker {os.getpid()} serves with {type(application).__name__}", flush=True)
        while True:
            signal.pause()
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 3
    finally:
        server.cfg.worker_exit(server, worker)
        os._exit(code)


def main(file: str, preload: bool) -> int:
    sys.path.insert(0, str(Path.cwd()))
    server = SimpleNamespace(cfg=Config(file))
    preloaded = load(server.cfg.wsgi_app) if preload else None
    workers: list[int] = []
    for _ in range(server.cfg.workers):
        if not (pid := os.fork()):
            work(server, SimpleNamespace(cfg=server.cfg, pid=os.getpid()), preloaded)
        workers.append(pid)
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(pid, signal.SIGTERM) for pid in workers])
    return max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "preload" in sys.argv[2:]))
