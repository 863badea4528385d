"""The table of a run: what was done to each store, and what came of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from chaos.faults import WORDS
from chaos.machine import Result

__all__ = ["Row", "lines", "rows", "write"]

HEAD = ["store", "fault", "injected", "jobs", "lost", "doubled", "begun again", "longest gap until recovery"]


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of fault on one store."""

    store: str
    fault: str
    injected: int
    jobs: int
    """That were accepted from the beginning of these faults to that of the next."""
    lost: int
    doubled: int
    repeated: int
    gap: float

    @property
    def cells(self) -> list[str]:
        """As in the table."""
        numbers = [self.injected, self.jobs, self.lost, self.doubled, self.repeated]
        return [self.store, WORDS.get(self.fault, self.fault), *map(str, numbers), f"{self.gap:.1f} s"]


def rows(result: Result) -> list[Row]:
    """Those of one run, and a last one for all of it."""
    assert result.verdict is not None
    verdict, found = result.verdict, []
    struck = result.struck()
    for kind in sorted({fault.kind for fault in result.faults}):
        jobs = set(struck.get(kind, ()))
        happened = [fault for fault in result.faults if fault.kind == kind]
        found.append(
            Row(
                result.store,
                kind,
                len(happened),
                len(jobs),
                len(jobs & verdict.lost.keys()),
                len(jobs & verdict.doubled.keys()),
                len(jobs & verdict.repeated),
                max(fault.gap for fault in happened),
            )
        )
    return [*found, _total(result.store, found)]


def _total(store: str, parts: Sequence[Row]) -> Row:
    sums = [
        sum(getattr(row, name) for row in parts)
        for name in ("injected", "jobs", "lost", "doubled", "repeated")
    ]
    return Row(store, "all", *sums, max(row.gap for row in parts))


def lines(table: Iterable[Row]) -> list[str]:
    """A table in Markdown."""
    cells = [HEAD, ["---"] * 2 + ["--:"] * 6, *(row.cells for row in table)]
    return [f"| {' | '.join(each)} |" for each in cells]


def write(result: Result, figures: Path, page: Path) -> None:
    """Keep the figures of a store in ``figures``, and put those of all stores into the page, between its marks."""
    known = json.loads(figures.read_text()) if figures.exists() else {}
    known[result.store] = [asdict(row) for row in rows(result)]
    figures.parent.mkdir(parents=True, exist_ok=True)
    figures.write_text(json.dumps(known, indent=1))
    table = [Row(**row) for store in sorted(known) for row in known[store]]
    begin, end = "<!-- figures -->", "<!-- end of figures -->"
    inside = "\n".join([begin, "", *lines(table), "", end])
    page.write_text(re.sub(f"{begin}.*?{end}", lambda _: inside, page.read_text(), flags=re.DOTALL))
