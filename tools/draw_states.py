"""Draw the states of a job, from the table in ``dlq.states``, as ``docs/explanation/states.svg``.

It is printed. What all states in which a job waits have in common is drawn once, from or to the frame around them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dlq.states import FINISHED, TRANSITIONS, WAITING, State


class Box(NamedTuple):
    """A rectangle, by its middle."""

    x: float
    y: float
    width: float = 124
    height: float = 40


FRAME = Box(205, 170, 370, 290)
PLACES = {
    State.SCHEDULED: Box(110, 70),
    State.BLOCKED: Box(110, 270),
    State.READY: Box(300, 170),
    State.RUNNING: Box(540, 70),
    State.SUCCEEDED: Box(780, 70),
    State.FAILED: Box(780, 170),
    State.CANCELLED: Box(780, 270),
}
GREY = "#8b929c"
ASIDE = 9
"""How far the arrows of both directions are from the line between the middles."""

type End = State | None
"""None is the frame."""


def transitions() -> Iterator[tuple[End, End]]:
    """The arrows: one for each transition, or for all that the frame stands for."""
    from_all = {after for after in FINISHED if all(after in TRANSITIONS[before] for before in WAITING)}
    yield from ((None, after) for after in sorted(from_all))
    for before in State:
        afters = TRANSITIONS[before]
        if back := afters & WAITING if before not in WAITING else frozenset():
            yield before, None if len(back) > 1 else next(iter(back))
        for after in sorted(afters - back):
            if before not in WAITING or after not in from_all:
                yield before, after


def ends(before: Box, after: Box, aside: float) -> tuple[float, float, float, float]:
    """Where an arrow begins and ends: on the sides that face each other, or below and above."""
    if before.x == after.x:
        way = 1 if after.y > before.y else -1
        return before.x, before.y + way * before.height / 2, after.x, after.y - way * after.height / 2
    way = 1 if after.x > before.x else -1
    # Arrows from and to the frame are level.
    start, target = (after.y if before is FRAME else before.y), (before.y if after is FRAME else after.y)
    return before.x + way * before.width / 2, start + aside, after.x - way * after.width / 2, target + aside


def arrow(before: End, after: End) -> str:
    forth = before is None or (after is not None and before < after)
    aside = (ASIDE if forth else -ASIDE) * ((after, before) in set(transitions()))
    start, target = (FRAME if end is None else PLACES[end] for end in (before, after))
    x1, y1, x2, y2 = ends(start, target, aside)
    names = " → ".join("waiting" if end is None else end.label for end in (before, after))
    return f'<path d="M{x1:.0f} {y1:.0f}L{x2:.0f} {y2:.0f}" marker-end="url(#head)"><title>{names}</title></path>'


def rectangle(place: Box, looks: str) -> str:
    left, top = place.x - place.width / 2, place.y - place.height / 2
    return f'<rect x="{left:.0f}" y="{top:.0f}" width="{place.width}" height="{place.height}" {looks}/>'


def box(state: State) -> str:
    place, colour = PLACES[state], "#6b7280" if state in FINISHED else "#2f6fc4"
    text = f'<text x="{place.x}" y="{place.y + 5}" fill="#fff">{state.label}</text>'
    return rectangle(place, f'rx="8" fill="{colour}"') + text


def drawing() -> Iterator[str]:
    """The lines of the picture."""
    font = 'font-family="sans-serif" font-size="15"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 340" role="img" {font}>'
    yield "<title>The states of a job, and the transitions between them</title>"
    yield '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    yield f'<path d="M0 0L8 4L0 8z" fill="{GREY}"/></marker></defs>'
    yield rectangle(FRAME, f'rx="14" fill="{GREY}" fill-opacity="0.1" stroke="{GREY}" stroke-dasharray="5 5"')
    yield f'<text x="315" y="49" fill="{GREY}" text-anchor="middle">waiting</text>'
    yield f'<g fill="none" stroke="{GREY}" stroke-width="1.6">'
    yield from (arrow(before, after) for before, after in transitions())
    yield '</g><g text-anchor="middle">'
    yield from (box(state) for state in State)
    yield "</g></svg>"


if __name__ == "__main__":
    print("\n".join(drawing()))
