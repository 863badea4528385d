"""Arguments that the commands share."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import CommandError

from dlq import conf

__all__ = ["add_backend_argument", "chosen_aliases"]


def add_backend_argument(parser: ArgumentParser, help: str) -> None:
    """``--backend ALIAS``."""
    parser.add_argument(
        "--backend", metavar="ALIAS", help=f"{help}: an alias in TASKS. The default is all of DLQ's."
    )


def chosen_aliases(given: str | None) -> list[str]:
    """The backend that was asked for, or all of ours.

    Raises CommandError when there is none, or it is not ours.
    """
    ours = conf.our_aliases()
    if not ours:
        raise CommandError(conf.NO_BACKEND)
    if given is None:
        return ours
    if given not in ours:
        raise CommandError(f"--backend {given}: the backends of DLQ in TASKS are: {', '.join(ours)}.")
    return [given]
