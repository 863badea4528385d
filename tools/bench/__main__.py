"""Run a benchmark: ``./tools/bench/run drain``."""

from __future__ import annotations

import argparse

from bench.drain import measure_drain


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="./tools/bench/run", description=__doc__)
    measures = parser.add_subparsers(required=True, dest="measure")
    drain = measures.add_parser(
        "drain", help="jobs per second of one worker process on PostgreSQL, beside raw SQL"
    )
    drain.add_argument("--jobs", type=int, default=20_000)
    drain.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    measure_drain(options.jobs, options.rounds)


if __name__ == "__main__":
    main()
