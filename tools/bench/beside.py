"""DLQ beside other systems and beside the servers themselves, in one run: ``./tools/bench/run peers``.

Each system is installed in an environment of its own and runs one worker process with the settings that its own
documentation calls the best for many small jobs; see ``peers/with_*.py``. In every round each one enqueues one by one
and in bulk, and then works off what waits. A job writes one byte into a file, by which its end is known.
"""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from redis import Redis

from bench.drain import ARGUMENTS
from bench.raw import drain_raw
from bench.raw_enqueue import enqueue_raw, push_raw
from bench.raw_redis import drain_raw as drain_raw_redis
from bench.servers import fresh_database

__all__ = ["measure_peers"]

HERE = Path(__file__).parent / "peers"
ENVIRONMENTS = Path(".cache/bench")
SPAN = 4.0
"""Seconds for which a drain is watched at most."""
PATIENCE = 15.0
"""Seconds until the first job, or the next one, has run."""
STEPS = ("drain", "one by one", "in bulk")
PROCESSOR = "processor"
"""Microseconds of its worker's processes for each job that was drained: it hardly depends on what else runs."""
RAW = "raw"


@dataclass
class Peer:
    """A system, and what was measured of it."""

    name: str
    needs: list[str]
    server: str
    jobs: int
    about: str
    python: Path = Path()
    versions: str = ""
    rates: dict[str, list[float]] = field(default_factory=lambda: {step: [] for step in (*STEPS, PROCESSOR)})
    failed: str = ""


def measure_peers(rounds: int, only: list[str], page: Path | None) -> None:
    """Print a table, and write it into ``page``."""
    peers = [peer for peer in _peers() if not only or peer.name in only]
    for peer in peers:
        _install(peer)
    raw = {"postgres": Peer(RAW, [], "postgres", 20_000, ""), "redis": Peer(RAW, [], "redis", 20_000, "")}
    busy = []
    for number in range(1, rounds + 1):
        for each in (*raw.values(), *(peer for peer in peers if not peer.failed)):
            began = time.monotonic()
            try:
                _measure(each)
            except (subprocess.SubprocessError, TimeoutError) as error:
                each.failed = str(error).strip().rpartition("\n")[2]
            busy.append(os.getloadavg()[0])
            print(f"round {number}: {_line(each)}   ({time.monotonic() - began:.0f} s)", flush=True)
    table = _table(peers, raw, f"{rounds} rounds, {os.cpu_count()} cores, load {median(busy):.1f} (median)")
    print(table)
    if page is not None:
        before, _, rest = page.read_text().partition("<!-- measured -->\n")
        _, _, after = rest.partition("<!-- until here -->\n")
        page.write_text(f"{before}<!-- measured -->\n{table}<!-- until here -->\n{after}")


def _peers() -> list[Peer]:
    return [_read(path) for path in sorted(HERE.glob("with_*.py"))]


def _read(path: Path) -> Peer:
    """What is said of a system, without importing what may not be installed here."""
    tree = ast.parse(path.read_text())
    said: dict[str, Any] = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id in ("NEEDS", "SERVER", "JOBS"):
            said[target.id.lower()] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
    return Peer(path.stem.removeprefix("with_"), about=ast.get_docstring(tree) or "", **said)


def _install(peer: Peer) -> None:
    """In an environment of its own, which is kept; DLQ is in the one that runs here."""
    if not peer.needs:
        peer.python = Path(sys.executable)
        return
    home = (ENVIRONMENTS / peer.name).absolute()
    peer.python = home / "bin/python"
    uv = os.environ.get("HATCH_ENV_TYPE_VIRTUAL_UV_PATH", "uv")
    done = subprocess.CompletedProcess[str]([], 0)
    if not peer.python.exists():
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(home)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(peer.python), *peer.needs]
        done = subprocess.run(install, check=False, capture_output=True, text=True)
    if done.returncode:
        peer.failed = f"cannot be installed here: {done.stderr.strip()[-200:]}"
        return
    name = peer.needs[0].partition("[")[0]
    version = [str(peer.python), "-c", f"from importlib.metadata import version as v; print(v('{name}'))"]
    peer.versions = subprocess.run(version, check=True, capture_output=True, text=True).stdout.strip()


def _measure(peer: Peer) -> None:
    with _servers() as servers:
        if peer.name == RAW:
            _measure_raw(peer, servers)
            return
        with tempfile.NamedTemporaryFile() as marks:
            environment = os.environ | {
                **servers,
                "PYTHONPATH": str(HERE),
                "PATH": f"{peer.python.parent}:{os.environ['PATH']}",
                "BENCH_PEER": peer.name,
                "BENCH_MARKS": marks.name,
                "DJANGO_SETTINGS_MODULE": "peer_settings",
            }
            _step(peer, environment, "prepare")
            peer.rates["one by one"].append(float(_step(peer, environment, "one")))
            if peer.server == "redis":
                Redis.from_url(servers["BENCH_REDIS_URL"]).flushall()
            peer.rates["in bulk"].append(float(_step(peer, environment, "many", str(peer.jobs))))
            rate, processor = _drain(peer, environment, Path(marks.name))
            peer.rates["drain"].append(rate)
            peer.rates[PROCESSOR].append(processor)


@contextmanager
def _servers() -> Iterator[dict[str, str]]:
    redis = os.environ["DLQ_TEST_REDIS_URL"]
    Redis.from_url(redis).flushall()
    with fresh_database("dlq_bench_peers") as url:
        yield {"BENCH_POSTGRES_URL": url, "BENCH_REDIS_URL": redis}
    Redis.from_url(redis).flushall()


def _measure_raw(raw: Peer, servers: Mapping[str, str]) -> None:
    payload = json.dumps(ARGUMENTS)
    if raw.server == "postgres":
        raw.rates["drain"].append(drain_raw(servers["BENCH_POSTGRES_URL"], raw.jobs, payload))
        one, many = enqueue_raw(servers["BENCH_POSTGRES_URL"], payload)
    else:
        server = Redis.from_url(servers["BENCH_REDIS_URL"])
        raw.rates["drain"].append(drain_raw_redis(server, raw.jobs, payload))
        one, many = push_raw(server, payload)
    raw.rates["one by one"].append(one)
    raw.rates["in bulk"].append(many)


def _step(peer: Peer, environment: Mapping[str, str], *step: str) -> str:
    command = [str(peer.python), "-m", "peer_side", peer.name, *step]
    done = subprocess.run(
        command,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
    )
    if done.returncode:
        raise subprocess.SubprocessError(f"{step[0]}: {done.stderr}")
    return done.stdout


def _drain(peer: Peer, environment: Mapping[str, str], marks: Path) -> tuple[float, float]:
    """Jobs a second from the first to the last that is seen within ``SPAN``, and their microseconds of processor."""
    command = json.loads(_step(peer, environment, "worker"))
    with tempfile.TemporaryFile() as log:
        worker = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            return _watch(marks, peer.jobs, worker.pid)
        except TimeoutError:
            log.seek(0)
            raise TimeoutError(f"drain: {log.read().decode(errors='replace')[-300:]}") from None
        finally:
            _end(worker)


def _watch(marks: Path, jobs: int, group: int) -> tuple[float, float]:
    first, busy = (0.0, 0), 0.0
    last = (time.monotonic(), 0)
    while True:
        now, done = time.monotonic(), marks.stat().st_size
        if done and not first[1]:
            first, busy = (now, done), _processor_seconds(group)
        if done != last[1]:
            last = (now, done)
        if done >= jobs or (first[1] and now - first[0] > SPAN):
            break
        if now - last[0] > PATIENCE:
            if done > first[1]:
                break
            raise TimeoutError
        time.sleep(0.002)
    ran = max(last[1] - first[1], 1)
    return ran / max(last[0] - first[0], 1e-3), 1e6 * (_processor_seconds(group) - busy) / ran


def _processor_seconds(group: int) -> float:
    """What the processes of a group have used, and their children that have ended."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _end(worker: subprocess.Popen[bytes]) -> None:
    worker.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        worker.wait(2)
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def _line(peer: Peer) -> str:
    if peer.failed:
        return f"{peer.name}: {peer.failed}"
    said = [f"{step} {peer.rates[step][-1]:,.0f}/s" for step in STEPS]
    said += [f"worker {each:,.0f} µs a job" for each in peer.rates[PROCESSOR][-1:]]
    return f"{peer.name} on {peer.server}: {', '.join(said)}"


def _table(peers: list[Peer], raw: Mapping[str, Peer], how: str) -> str:
    lines = [f"Measured in {how}. Jobs a second: the median, and the least and the most of the rounds.", ""]
    for server, name in (("postgres", "PostgreSQL"), ("redis", "Redis")):
        rows = [peer for peer in peers if peer.server == server]
        rows.sort(key=lambda peer: -_median(peer, "drain"))
        lines += [
            f"| on {name} | drain | enqueue one by one | enqueue in bulk | worker, µs a job |",
            "|---|---|---|---|---|",
        ]
        lines += [_row(raw[server], "the server itself")]
        lines += [_row(peer, f"{_title(peer.name)} {peer.versions}".strip()) for peer in rows]
        if ours := next((peer for peer in rows if not peer.needs and not peer.failed), None):
            lines.append(_ratios(ours, [peer for peer in rows if peer.needs], raw[server]))
        lines.append("")
    lines += [f"{_title(peer.name)}: {peer.failed}" for peer in peers if peer.failed]
    lines += [f"- {peer.about}" for peer in peers]
    return "\n".join(lines) + "\n"


def _title(name: str) -> str:
    return {"dlq_db": "**DLQ**", "dlq_redis": "**DLQ**", "django_vtasks_redis": "django-vtasks"}.get(
        name, name.replace("_", "-")
    )


def _row(peer: Peer, title: str) -> str:
    return f"| {title} | {' | '.join(_cell(peer.rates[step]) for step in (*STEPS, PROCESSOR))} |"


def _cell(rates: list[float]) -> str:
    if not rates:
        return "–"
    return f"{median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})"


def _median(peer: Peer, step: str) -> float:
    return median(peer.rates[step]) if peer.rates[step] else 0.0


def _ratios(ours: Peer, others: list[Peer], raw: Peer) -> str:
    cells = []
    for step in STEPS:
        best = max(others, key=lambda peer: _median(peer, step), default=None)
        parts = [f"{_median(ours, step) / _median(raw, step):.2f} of the server"]
        if best is not None and _median(best, step):
            parts.insert(0, f"{_median(ours, step) / _median(best, step):.1f} × {_title(best.name)}")
        cells.append(", ".join(parts))
    return f"| DLQ to the best other | {' | '.join(cells)} | |"
