"""The Lua scripts: one file for each verb, with the parts that it includes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib import resources

__all__ = ["Script", "script"]

_INCLUDE = re.compile(r"^--: include (?P<parts>[a-z ]+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """What a server runs as one command, whole or not at all."""

    name: str
    text: str
    digest: str
    """By which the server knows it once it has seen it."""


@cache
def script(name: str) -> Script:
    """The script of a verb, without its comments."""
    whole = _INCLUDE.sub(_parts, _read(f"{name}.lua"))
    text = _COMMENT.sub("", whole)
    # The name of an algorithm of the server's, not a matter of security.
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def _parts(include: re.Match[str]) -> str:
    return "\n".join(_read(f"parts/{part}.lua") for part in include["parts"].split())


def _read(path: str) -> str:
    return resources.files(__package__).joinpath("lua", path).read_text()
