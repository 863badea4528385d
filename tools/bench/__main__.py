"""Run a benchmark: ``./tools/bench/run --help`` lists them."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.backlog import measure_backlog
from bench.beside import measure_peers
from bench.dead import measure_dead
from bench.drain import measure_drain
from bench.footprint import measure_footprint
from bench.held import measure_held
from bench.idle import measure_idle
from bench.latency import measure_latency
from bench.limits import measure_limits
from bench.metrics import measure_metrics
from bench.on_redis import measure_redis
from bench.overhead import measure_overhead
from bench.pages import measure_pages
from bench.schedules import measure_schedules
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
    peers = measures.add_parser("peers", help="the same jobs with other systems, and with the servers alone")
    peers.add_argument("--rounds", type=int, default=3)
    peers.add_argument("--only", nargs="*", default=[], help="names as in tools/bench/peers/with_NAME.py")
    peers.add_argument("--page", type=Path, help="a page of the documentation that gets the table")
    overhead = measures.add_parser(
        "overhead", help="what a job costs its worker outside of the store, by stage"
    )
    overhead.add_argument("--rounds", type=int, default=50)
    held = measures.add_parser("held", help="a steady load beside a transaction that is held open")
    held.add_argument("--load", type=int, default=100, help="jobs per second")
    held.add_argument("--minutes", type=float, default=5.0, help="for how long the transaction is held open")
    dead = measures.add_parser("dead", help="what dead index entries cost each verb that may meet them")
    dead.add_argument("--entries", type=int, default=100_000)
    backlog = measures.add_parser("backlog", help="what jobs do that wait, or that are kept, to a worker")
    backlog.add_argument("--jobs", type=int, default=10_000)
    backlog.add_argument("--many", type=int, default=500_000)
    backlog.add_argument("--rounds", type=int, default=3)
    footprint = measures.add_parser("footprint", help="what a job writes over its life")
    footprint.add_argument("--jobs", type=int, default=2_000)
    footprint.add_argument("--batch", type=int, default=100)
    idle = measures.add_parser("idle", help="what a runner costs that has nothing to do")
    idle.add_argument("--seconds", type=float, default=60.0)
    idle.add_argument("--sqlite", action="store_true", help="on a file of SQLite")
    latency = measures.add_parser("latency", help="how long a job waits for an idle worker")
    latency.add_argument("--jobs", type=int, default=200)
    limits = measures.add_parser(
        "limits", help="what limits cost, and what jobs that wait for a slot do to others"
    )
    limits.add_argument("--jobs", type=int, default=10_000)
    limits.add_argument("--blocked", type=int, default=10_000)
    limits.add_argument("--rounds", type=int, default=3)
    schedules = measures.add_parser(
        "schedules", help="many schedules: how late they fire, and what that costs"
    )
    schedules.add_argument("--count", type=int, default=10_000)
    schedules.add_argument("--period", type=int, default=100)
    schedules.add_argument("--seconds", type=float, default=60.0)
    schedules.add_argument("--redis", action="store_true", help="on Redis")
    pages = measures.add_parser("pages", help="what the pages of the dashboard cost, with very many jobs")
    pages.add_argument("--jobs", type=int, default=1_000_000)
    pages.add_argument("--requests", type=int, default=20)
    metrics = measures.add_parser("metrics", help="what counting and being scraped costs")
    metrics.add_argument("--jobs", type=int, default=20_000)
    metrics.add_argument("--rounds", type=int, default=3)
    metrics.add_argument("--many", type=int, default=1_000_000)
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
        case "peers":
            measure_peers(options.rounds, options.only, options.page)
        case "overhead":
            measure_overhead(options.rounds)
        case "held":
            measure_held(options.load, options.minutes)
        case "dead":
            measure_dead(options.entries)
        case "backlog":
            measure_backlog(options.jobs, options.many, options.rounds)
        case "footprint":
            measure_footprint(options.jobs, options.batch)
        case "idle":
            measure_idle(options.seconds, sqlite=options.sqlite)
        case "latency":
            measure_latency(options.jobs)
        case "limits":
            measure_limits(options.jobs, options.blocked, options.rounds)
        case "schedules":
            measure_schedules(options.count, options.period, options.seconds, redis=options.redis)
        case "pages":
            measure_pages(options.jobs, options.requests)
        case "metrics":
            measure_metrics(options.jobs, options.rounds, options.many)
        case "sleepers":
            measure_sleepers(options.jobs, options.concurrency, options.rounds)


if __name__ == "__main__":
    main()
