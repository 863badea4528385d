"""The command: see ``./tools/chaos --help``."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

import django

django.setup()

from chaos.faults import FAULTS  # noqa: E402  # Django first
from chaos.grounds import GROUNDS  # noqa: E402
from chaos.machine import run  # noqa: E402
from chaos.report import lines, rows, write  # noqa: E402

CHECKOUT = Path(__file__).resolve().parent.parent.parent
LOGS = CHECKOUT / ".cache" / "chaos"
FIGURES = CHECKOUT / ".cache" / "chaos" / "figures.json"
PAGE = CHECKOUT / "docs" / "explanation" / "reliability.md"


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S', time.gmtime())} {line}", file=sys.__stdout__, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./tools/chaos", description="Faults on runners under load.")
    parser.add_argument("--seed", type=int, default=1, help="the same one gives the same plan")
    parser.add_argument("--faults", type=int, default=200, help="how many on each store")
    parser.add_argument("--store", action="append", choices=GROUNDS, help="may be repeated; all by default")
    parser.add_argument("--kind", action="append", default=[], choices=FAULTS, help="only these faults")
    parser.add_argument("--rate", type=float, default=40.0, help="jobs enqueued in a second")
    parser.add_argument(
        "--write", action="store_true", help=f"put the table into {PAGE.relative_to(CHECKOUT)}"
    )
    options = parser.parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    failed = False
    for store in options.store or GROUNDS:
        with tempfile.TemporaryDirectory(prefix=f"dlq-chaos-{store}-", ignore_cleanup_errors=True) as folder:
            log = LOGS / f"{store}-{options.seed}.log"
            say(f"{store}: {options.faults} faults, seed {options.seed}; the logs of the runners go to {log}")
            # What the site prints at its end, the logs of all runners, is for the file.
            with log.open("w") as output, contextlib.redirect_stdout(output):
                result = run(
                    store,
                    options.seed,
                    options.faults,
                    Path(folder),
                    per_second=options.rate,
                    kinds=options.kind,
                    told=say,
                )
        print("\n".join(lines(rows(result))))
        print(f"{result.refused} batches were refused while the store was away.")
        print("\n".join(result.complaints) or "No complaint.", flush=True)
        if options.write:
            write(result, FIGURES, PAGE)
        failed = failed or bool(result.complaints)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
