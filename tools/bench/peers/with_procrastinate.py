"""procrastinate, asynchronous, with 10 jobs at a time in its process."""

import asyncio
import os

import procrastinate
from peer_jobs import mark
from peer_rates import async_rate_of

NEEDS = ["procrastinate", "psycopg[binary]"]
SERVER = "postgres"
JOBS = 1_500
WORKER = ["procrastinate", "--app", "with_procrastinate.app", "worker", "--concurrency", "10"]

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ.get("BENCH_POSTGRES_URL", ""))
)


@app.task(name="job")
async def job(number: int) -> int:
    mark()
    return number


def prepare() -> None:
    async def install() -> None:
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    asyncio.run(install())


def enqueue() -> float:
    async def rate() -> float:
        async with app.open_async():
            return await async_rate_of(lambda: job.defer_async(number=1))

    return asyncio.run(rate())


def enqueue_many(jobs: int) -> None:
    async def fill() -> None:
        async with app.open_async():
            await job.batch_defer_async(*({"number": number} for number in range(jobs)))

    asyncio.run(fill())
