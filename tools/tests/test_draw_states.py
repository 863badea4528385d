"""The picture of the states is that of the table in the code."""

from __future__ import annotations

import sys
from pathlib import Path

from dlq.states import TRANSITIONS, WAITING, State

TOOLS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOOLS))

import draw_states  # noqa: E402


def test_the_picture_in_the_documentation_is_up_to_date() -> None:
    drawn = (TOOLS.parent / "docs" / "explanation" / "states.svg").read_text()
    assert drawn == "\n".join(draw_states.drawing()) + "\n", (
        "Run: python tools/draw_states.py > docs/explanation/states.svg"
    )


def test_every_transition_has_an_arrow_and_no_other() -> None:
    drawn = set()
    for before, after in draw_states.transitions():
        befores = WAITING if before is None else {before}
        afters = TRANSITIONS[before] & WAITING if after is None and before is not None else {after}
        drawn |= {(one, other) for one in befores for other in afters}
    assert drawn == {(before, after) for before in State for after in TRANSITIONS[before]}
