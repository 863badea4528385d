"""The release before this one, as a folder that a process can import it from."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["PACKAGES", "last_release", "previous_code"]

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"dlq-core": "dlq", "dlq-db": "dlq_db"}


def last_release(changelog: str) -> str | None:
    """The newest version that the changelog has a heading for; None when nothing has been released."""
    found = re.search(r"^## \[?(\d+\.\d+\.\d+)", changelog, re.MULTILINE)
    return found[1] if found else None


def previous_code(folder: Path) -> Path:
    """The packages of the last release; before the first one, those of this checkout."""
    version = last_release((ROOT / "CHANGELOG.md").read_text())
    if version is None:
        for package, module in PACKAGES.items():
            shutil.copytree(ROOT / "packages" / package / "src" / module, folder / module)
    else:
        wheels = [f"{package}=={version}" for package in PACKAGES]
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        subprocess.run([*install, *wheels], check=True)
    return folder
