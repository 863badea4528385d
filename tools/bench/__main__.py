"""Run a benchmark: ``./tools/bench/run drain``, ``redis``, ``idle``, ``latency`` or ``sleepers``."""

from __future__ import annotations

import argparse

from bench.drain import measure_drain
from bench.idle import measure_idle
from bench.latency import measure_latency
from bench.on_redis import measure_redis
from bench.sleepers import measure_sleepers


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="./tools/bench/run", description=__doc__)
    measures = parser.add_subparsers(required=True, dest="measure")
    drain = measures.add_parser(
        "drain", help="jobs per second of one worker process on PostgreSQL, beside raw SQL"
    )
    drain.add_argument("--jobs", type=int, default=20_000)
    drain.add_argument("--rounds", type=int, default=3)
    redis = measures.add_parser("redis", help="the same on Redis, and what enqueuing and waiting cost there")
    redis.add_argument("--jobs", type=int, default=20_000)
    redis.add_argument("--rounds", type=int, default=3)
    idle = measures.add_parser("idle", help="what a runner costs that has nothing to do")
    idle.add_argument("--seconds", type=float, default=60.0)
    idle.add_argument("--sqlite", action="store_true", help="on a file of SQLite")
    latency = measures.add_parser("latency", help="how long a job waits for an idle worker")
    latency.add_argument("--jobs", type=int, default=200)
    sleepers = measures.add_parser("sleepers", help="coroutines that sleep together in one worker")
    sleepers.add_argument("--jobs", type=int, default=2_000)
    sleepers.add_argument("--concurrency", type=int, default=200)
    sleepers.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    match options.measure:
        case "drain":
            measure_drain(options.jobs, options.rounds)
        case "redis":
            measure_redis(options.jobs, options.rounds)
        case "idle":
            measure_idle(options.seconds, sqlite=options.sqlite)
        case "latency":
            measure_latency(options.jobs)
        case "sleepers":
            measure_sleepers(options.jobs, options.concurrency, options.rounds)


if __name__ == "__main__":
    main()
