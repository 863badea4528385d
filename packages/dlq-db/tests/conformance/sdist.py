"""The tests that Django ships only in its source distribution, of the version that is installed."""

import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import django

CACHE = Path(__file__).resolve().parents[4] / ".cache" / "django-sdist"


class Unavailable(Exception):
    """The source distribution cannot be had here, and why."""


def folder_of_tests() -> Path:
    """The folder of ``tests/tasks``, downloaded the first time that it is asked for.

    Raises Unavailable.
    """
    folder = CACHE / django.__version__ / "tasks"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=CACHE) as scratch:
            extracted = extract(download(Path(scratch)), Path(scratch))
            if not folder.is_dir():  # another run may have been faster
                extracted.rename(folder)
    return folder


def download(to: Path) -> Path:
    """Ask pip, which knows the index of this machine, for the archive."""
    wanted = f"django=={django.__version__}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-binary=django", f"--dest={to}", wanted]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"pip could not download the source of {wanted}: {error.stderr.strip()}") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"pip did not download the source of {wanted} within ten minutes") from None
    [archive] = to.glob("*.tar.gz")
    return archive


def extract(archive: Path, to: Path) -> Path:
    """Unpack ``tests/tasks`` alone, of the thousands of files."""
    with tarfile.open(archive) as sdist:
        root = sdist.getnames()[0].partition("/")[0]
        wanted = [member for member in sdist if member.name.startswith(f"{root}/tests/tasks/")]
        sdist.extractall(to, members=wanted, filter="data")
    return to / root / "tests" / "tasks"
