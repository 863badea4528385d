"""The blocks of code that a page of the documentation prints, and a project in which they are done as it says.

Blocks are done from the top of the page to its end:

- Python whose first line is a comment that names a file, such as ``# shop/tasks.py``, goes into that file of the
  project: it begins it anew the first time, and is added to it afterwards; to ``settings.py`` it is always added.
- Other Python is run, in one namespace for the whole page, as in a shell. Afterwards the jobs that are waiting run,
  and none may fail.
- Lines of shell are run in the folder of the project. A runner that would not end gets ``--burst``.
- TOML, YAML, INI and JSON must be readable; whose first line names a file, as in Python, becomes that file, and so
  does HTML.

``<!-- not run: why -->`` above a block leaves it out, and ``<!-- from: an empty folder -->`` anywhere gives a page no
project to begin with.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

__all__ = ["Block", "Workshop", "blocks_of", "clean_environment", "readers"]

_FENCE = re.compile(
    r"^(?:<!-- not run: (?P<why>[^\n]+?) -->\n+)?(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
_FILE = re.compile(r"(?:# |<!-- )(?P<name>[\w./-]+\.(py|toml|yaml|yml|ini|json|html))(?: -->|:.*)?\n")
HERE = Path(__file__).resolve().parent
ONCE = "\nINSTALLED_APPS = list(dict.fromkeys(INSTALLED_APPS))\n"
"""A page may add apps that the project has already."""
EMPTY = "<!-- from: an empty folder -->"

SHELL = frozenset({"", "sh", "console", "bash"})


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code of a page."""

    language: str
    text: str
    line: int
    """Where it stands in the page, from 1."""
    why: str | None
    """Why it is not run; None when it is."""

    @property
    def file(self) -> str | None:
        """The file that it is meant for."""
        named = _FILE.match(self.text)
        return named and named["name"]


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a page, in their order."""
    text = page.read_text()
    for found in _FENCE.finditer(text):
        if found["language"].startswith("{"):
            continue  # A directive of Sphinx.
        line = text.count("\n", 0, found.start("text")) + 1
        yield Block(found["language"], dedent(found["text"]), line, found["why"])


def _ini(text: str) -> None:
    configparser.ConfigParser(interpolation=None, strict=False).read_string(text)


def _yaml(text: str) -> None:
    import yaml

    list(yaml.safe_load_all(text))


readers: dict[str, Callable[[str], object]] = {
    "toml": tomllib.loads,
    "json": json.loads,
    "ini": _ini,
    "yaml": _yaml,
    "python": lambda text: compile(text, "page", "exec"),
}
"""What reads each language that is not only looked at."""


class Workshop:
    """A project in a folder of its own, in which the blocks of one page are done."""

    def __init__(
        self, page: Path, template: Path, folder: Path, redis: str, python: Path = Path(sys.executable)
    ) -> None:
        """``template`` is a project; its copy will be in ``folder``.

        The Redis server at ``redis`` takes the place of the one that pages name, and ``python`` that of the virtual
        environment which they take for granted.
        """
        self._page = page
        self._folder = folder
        self._redis = redis
        self._python = python
        self._written: set[str] = set()
        self._kernel: Kernel | None = None
        if EMPTY not in page.read_text():
            shutil.copytree(template, folder, dirs_exist_ok=True)

    def do(self, block: Block) -> None:
        """Do what the page says."""
        if block.why is not None:
            return
        if block.language in readers:
            readers[block.language](block.text)
        if block.file is not None:
            self._write(block.file, block.text)
        elif block.language == "python":
            self._running().run(block.text, f"{self._page.name}:{block.line}")
        elif block.language in SHELL:
            self._shell(block)

    def close(self) -> None:
        """Run the jobs that wait, and end."""
        if self._kernel is not None:
            self._kernel.run("run_what_waits()", "the jobs of the page")
        self._leave()

    def _leave(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None

    def _write(self, name: str, text: str) -> None:
        self._leave()
        path = self._folder / ("mysite/settings.py" if name == "settings.py" else name)
        text = text.replace("redis://localhost:6379/0", self._redis)
        path.parent.mkdir(parents=True, exist_ok=True)
        known = path.exists() and (path.name == "settings.py" or name in self._written)
        text = f"{path.read_text()}\n\n{text}" if known else text
        path.write_text(text + ONCE if path.name == "settings.py" else text)
        if path.suffix == ".py" and not (package := path.parent / "__init__.py").exists():
            package.touch()
        self._written.add(name)

    def _shell(self, block: Block) -> None:
        self._leave()
        for line in filter(None, block.text.splitlines()):
            command = _ending(line.removeprefix("$ "))
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=self._folder,
                env=clean_environment(self._python),
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, (
                f"{self._page.name}:{block.line}: {command}\n{done.stdout}{done.stderr}"
            )

    def _running(self) -> Kernel:
        if self._kernel is None:
            self._kernel = Kernel(self._folder, self._python)
        return self._kernel


def _ending(command: str) -> str:
    """The command, so that it ends by itself."""
    command = re.sub(r"^(python )?manage\.py ", "python manage.py ", command)
    return re.sub(r"^(python manage\.py queue_runner)\b(?!.*--burst)", r"\1 --burst", command)


def clean_environment(python: Path = Path(sys.executable)) -> dict[str, str]:
    """That of a shell in which the virtual environment of ``python`` is active, and nothing of these tests."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DLQ_", "DJANGO_", "PYTEST"))
    }
    return {**kept, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}


class Kernel:
    """A Python in which the statements of a page are run one after the other."""

    def __init__(self, folder: Path, python: Path) -> None:
        """``folder`` is that of the project."""
        self._process = subprocess.Popen(
            [str(python), str(HERE / "page_kernel.py")],
            cwd=folder,
            env=clean_environment(python),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, text: str, name: str) -> None:
        """Run statements; ``name`` is where they stand."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([text, name]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"{name}: the process has ended"
        assert json.loads(answer) is None, f"{name}:\n{json.loads(answer)}"

    def close(self) -> None:
        """End."""
        self._process.communicate(timeout=60)
