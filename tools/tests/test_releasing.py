"""``./tools/release``: one command makes a release of all packages, or changes nothing and says why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
WHO = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]


class Checkout:
    """A clone in which no packages are built: what builds and tries them is a step of its own in CI."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(
            ["git", "clone", "--quiet", "--branch", "main", str(self._origin(folder)), str(folder)],
            check=True,
        )
        (folder / ".venv").symlink_to(ROOT / ".venv")
        (folder / "tools" / "check_wheels").write_text("#!/bin/sh\n")
        for fragment in (folder / "docs" / "changes").glob("*.*.md"):
            fragment.unlink()
        self.commit()

    @staticmethod
    def _origin(folder: Path) -> Path:
        """This checkout as it is, committed or not, as a repository with one commit."""
        origin = folder.with_name("origin")
        origin.mkdir()
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in filter(None, files.split("\0")):
            if (ROOT / name).exists():
                (origin / name).parent.mkdir(parents=True, exist_ok=True)
                (origin / name).write_bytes((ROOT / name).read_bytes())
                (origin / name).chmod((ROOT / name).stat().st_mode)
        subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=origin, check=True)
        subprocess.run(["git", "add", "--all"], cwd=origin, check=True)
        subprocess.run(["git", *WHO, "commit", "--quiet", "--message", "All"], cwd=origin, check=True)
        return origin

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *WHO, *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A change")

    def change(self, name: str, text: str) -> None:
        (self.folder / "docs" / "changes" / name).write_text(text)
        self.commit()

    def release(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        names = {f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return subprocess.run(
            [sys.executable, "tools/releasing.py", *arguments],
            cwd=self.folder,
            env=os.environ | names,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def test_a_release_has_its_version_everywhere_its_changes_and_its_tag(checkout: Checkout) -> None:
    checkout.change("+faster.changed.md", "Everything is twice as fast.\n")
    done = checkout.release("7.0.0")
    assert done.returncode == 0, done.stderr
    assert "git push origin main v7.0.0" in done.stdout
    assert checkout.git("tag", "--list") == "v7.0.0\n"
    assert checkout.git("status", "--porcelain") == ""
    assert not list((checkout.folder / "docs" / "changes").glob("*.*.md"))
    text = (checkout.folder / "packages" / "dlq-db" / "pyproject.toml").read_text()
    assert 'version = "7.0.0"' in text
    assert "dlq-core==7.0.0" in text
    assert "Everything is twice as fast." in checkout.release("notes", "7.0.0").stdout


def test_nothing_is_touched_when_something_stands_in_the_way(checkout: Checkout) -> None:
    (checkout.folder / "README.md").write_text("changed")
    done = checkout.release("7.0")
    assert done.returncode != 0
    for reason in ("'7.0' is no version", "not committed", "no fragment"):
        assert reason in done.stderr
    assert checkout.git("tag", "--list") == ""


def test_a_version_is_released_once(checkout: Checkout) -> None:
    checkout.change("+one.added.md", "One.\n")
    checkout.git("tag", "v7.0.0")
    assert "a tag v7.0.0 already" in checkout.release("7.0.0").stderr


def test_a_version_that_is_not_in_the_changelog_has_no_notes(checkout: Checkout) -> None:
    assert "nothing about 8.0.0" in checkout.release("notes", "8.0.0").stderr
