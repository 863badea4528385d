"""What the numbers of MySQL's errors mean."""

from __future__ import annotations

from dlq.errors import StoreError, StoreNotReady, StoreRefused, StoreUnavailable
from dlq_db.contention import Contended

__all__ = ["meaning"]

type Meaning = tuple[type[StoreError], str]

NO_TABLES: Meaning = (
    StoreNotReady,
    "lacks the tables of DLQ ({text}). Run: manage.py migrate --database {alias}",
)
REFUSED: Meaning = (StoreRefused, "refused the data: {text}")
READ_ONLY: Meaning = (
    StoreNotReady,
    'cannot be written to ({text}). Have DATABASES["{alias}"] name the primary, with a user who may write.',
)
FULL: Meaning = (StoreError, "has no space left ({text}). Nothing was stored. Free some on its disk.")
CROWDED: Meaning = (
    StoreUnavailable,
    "takes no more connections ({text}). Run fewer workers, or raise max_connections.",
)
GAVE_WAY: Meaning = (
    Contended,
    "gave way to another transaction ({text}). Nothing was stored. Repeat the whole transaction.",
)

BY_NUMBER: dict[int, Meaning] = {
    **dict.fromkeys([1146, 1054], NO_TABLES),
    # Too long, out of range, not of the character set, not of the type, NULL, larger than max_allowed_packet.
    **dict.fromkeys([1406, 1264, 1366, 1292, 1265, 1048, 1153], REFUSED),
    **dict.fromkeys([1290, 1792, 1836], READ_ONLY),
    **dict.fromkeys([1021, 1114], FULL),
    **dict.fromkeys([1040, 1203, 1226], CROWDED),
    # A deadlock, a lock that was waited for in vain, a row that is newer than what the transaction sees.
    **dict.fromkeys([1213, 1205, 1020], GAVE_WAY),
}


def meaning(error: Exception) -> Meaning | None:
    """The error of core, and its text, for an error of a driver of MySQL; None where nothing special is known."""
    arguments = getattr(error.__cause__, "args", ())
    number = arguments[0] if arguments else None
    return BY_NUMBER.get(number) if isinstance(number, int) else None
