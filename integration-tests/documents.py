"""What the documentation prints for people to copy, so that tests can do so."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["blocks", "under"]

HOW_TO = Path(__file__).resolve().parent.parent / "docs" / "how-to"


def under(name: str, heading: str) -> str:
    """A section of a page, from its heading to the next of the same rank."""
    _, _, rest = (HOW_TO / f"{name}.md").read_text().partition(f"\n## {heading}")
    assert rest, f"{name}.md has no section {heading!r}"
    return rest.partition("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    """The blocks of code in this language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
