"""Run the statements of a page of the documentation: a program that ``pages.Kernel`` starts in a project's folder.

Each line of its input is JSON, the text and the name of a block; each line of its output None, or a traceback.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import types
from pathlib import Path

import django

__all__: list[str] = []


def run_what_waits() -> None:
    """Run the jobs that wait, also those for later; none may fail."""
    from dlq import JobFilter, State, queue_backend
    from dlq.testing import drain

    drain()
    failed = queue_backend().inspector.jobs(JobFilter(states={State.FAILED}), limit=1)
    assert not failed, f"{failed[0].task} failed: {queue_backend().store.get([failed[0].id])[0].history}"


def main() -> None:
    sys.path.insert(0, str(Path.cwd()))
    os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
    django.setup()
    # Tasks of the page have a path, as those of a module do.
    page = sys.modules["page"] = types.ModuleType("page")
    page.__dict__["run_what_waits"] = run_what_waits
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        text, name = json.loads(line)
        answer = None
        try:
            exec(compile(text, name, "exec"), page.__dict__)
        except BaseException:
            answer = traceback.format_exc()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
