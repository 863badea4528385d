import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "check_imports.py"


def check(checkout: Path, module: str, code: str) -> subprocess.CompletedProcess[str]:
    distribution = "dlq-core" if module.startswith("dlq/") else module.split("/")[0].replace("_", "-")
    path = checkout / "packages" / distribution / "src" / module
    path.parent.mkdir(parents=True)
    path.write_text(code)
    return subprocess.run([sys.executable, SCRIPT, checkout], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("dlq/task.py", "from django.conf import settings"),
        ("dlq/task.py", "from django import conf"),
        ("dlq/task.py", "import django.conf"),
        ("dlq/store/base.py", "def late():\n    from django.conf import settings"),
        ("dlq_db/store.py", "from django.conf import settings"),
        ("dlq/task.py", "import pytest"),
        ("dlq/task.py", "from hypothesis import given"),
        ("dlq/task.py", "from dlq import testing"),
        ("dlq/task.py", "from . import testing"),
        ("dlq/store/base.py", "from ..testing import run_jobs"),
        ("dlq_db/store.py", "from dlq.testing.contract import suite"),
        ("dlq_db/store.py", "from dlq.job import _Secret"),
        ("dlq_db/store.py", "import dlq._clock"),
    ],
)
def test_a_forbidden_import_is_named_with_its_place(tmp_path: Path, module: str, code: str) -> None:
    done = check(tmp_path, module, code)
    assert done.returncode == 1
    assert f"src/{module}:{len(code.splitlines())}: " in done.stdout


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("dlq/conf.py", "from django.conf import settings"),
        ("dlq/testing/plugin.py", "import pytest\nfrom dlq.testing import run_jobs"),
        ("dlq/task.py", "from dlq._clock import now\nfrom dlq.testing_ground import thing"),
        (
            "dlq_db/store.py",
            "from dlq.store import Store\nfrom dlq import __version__\nfrom ._sql import exchange",
        ),
        ("dlq_db/urls.py", "from django.conf.urls import include"),
    ],
)
def test_a_permitted_import_passes(tmp_path: Path, module: str, code: str) -> None:
    done = check(tmp_path, module, code)
    assert (done.returncode, done.stdout) == (0, "")
