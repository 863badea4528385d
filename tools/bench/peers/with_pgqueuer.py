"""pgqueuer with asyncpg, in batches of 100."""

import asyncio
import os

import asyncpg
from peer_jobs import mark
from peer_rates import async_rate_of
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

NEEDS = ["pgqueuer[asyncpg]", "uvloop"]
SERVER = "postgres"
JOBS = 10_000
WORKER = ["python", "-m", "with_pgqueuer"]


async def work() -> None:
    queuer = PgQueuer(AsyncpgDriver(await _connect()))

    @queuer.entrypoint("job")
    async def job(job: Job) -> None:
        mark()

    await queuer.run(batch_size=100)


async def _connect() -> asyncpg.Connection:
    return await asyncpg.connect(os.environ["BENCH_POSTGRES_URL"])


async def _queries() -> Queries:
    return Queries(AsyncpgDriver(await _connect()))


def prepare() -> None:
    async def install() -> None:
        await (await _queries()).install()

    asyncio.run(install())


def enqueue() -> float:
    async def rate() -> float:
        queries = await _queries()
        return await async_rate_of(lambda: queries.enqueue("job", b"1"))

    return asyncio.run(rate())


def enqueue_many(jobs: int) -> None:
    async def fill() -> None:
        queries = await _queries()
        for _ in range(0, jobs, 1000):
            await queries.enqueue(["job"] * 1000, [b"1"] * 1000, [0] * 1000)

    asyncio.run(fill())


if __name__ == "__main__":
    asyncio.run(work())
