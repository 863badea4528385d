"""``Exporter``: a service of each runner, which serves its figures and its health on one port."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from dlq import conf
from dlq.logs import get_logger
from dlq.runtime.options import RunnerOptions
from dlq.services import Service
from dlq_metrics.collecting import Collecting, collecting
from dlq_metrics.exposition import exposed
from dlq_metrics.figures import Figures
from dlq_metrics.fleet import Fleet, Seen

__all__ = ["Exporter", "exporters_for"]

logger = get_logger("dlq.metrics")

STEP = 0.5
"""Seconds between two times that what workers have sent is added up."""
TRY_AGAIN = 30.0
"""Seconds until a port that was taken is tried again."""

type Answer = tuple[HTTPStatus, bytes, str]
"""Status, body, and what kind of text that is."""

TEXT = "text/plain; charset=utf-8"


def exporters_for(options: RunnerOptions) -> list[Service]:
    """The exporter of a runner, unless ``DLQ_METRICS_ADDRESS`` is None."""
    address = conf.load().metrics_address
    return [] if address is None else [Exporter(address, options.aliases)]


class Exporter(Service):
    """Adds up what the processes of its runner have counted, and answers those who ask."""

    name = "metrics"

    def __init__(self, address: str, aliases: Sequence[str], source: Collecting = collecting) -> None:
        """Serve on ``address``, a host and a port, of a runner that belongs to these backends."""
        host, _, port = address.rpartition(":")
        self._address = (host.strip("[]"), int(port))
        self._source = source
        self._figures = Figures()
        self._fleet = Fleet(lambda: aliases)
        self._server: _Server | None = None
        self._listen_at = 0.0
        self._begun = False

    def step(self) -> float:
        """Add up, keep what is known of stores fresh, and listen if nobody does."""
        self._add_up()
        self._fleet.stay_fresh()
        if self._server is None and time.monotonic() >= self._listen_at:
            self._listen()
        return STEP

    def close(self) -> None:
        """Stop listening."""
        self._add_up()
        if self._server is not None:
            self._server.end()
            self._server = None

    @property
    def port(self) -> int | None:
        """Where it listens; None while it does not."""
        return None if self._server is None else int(self._server.server_address[1])

    def _add_up(self) -> None:
        channel = self._source.channel
        new = self._source.figures.take()
        if channel is not None:
            if not self._begun:
                self._figures.merge(channel.kept())
                self._begun = True
            new += channel.receive()
        if new:
            self._figures.merge(new)
            if channel is not None:
                channel.keep(self._figures.entries())

    def _listen(self) -> None:
        try:
            self._server = _Server(self._address, self)
        except OSError as error:
            self._listen_at = time.monotonic() + TRY_AGAIN
            logger.warning(
                "No metrics of this runner: it cannot listen on %s:%d (%s). If another runner of this machine does, "
                "give each a DLQ_METRICS_ADDRESS of its own. It is tried again every %g s.",
                *self._address,
                error.strerror,
                TRY_AGAIN,
            )

    # --- Answers ---

    def metrics(self, accept: str) -> Answer:
        """What the runner has counted, and what its stores know."""
        body, kind = exposed(accept, self._fleet.seen(), self._figures.entries())
        return HTTPStatus.OK, body, kind

    def live(self) -> Answer:
        """The process that keeps the runner's backends up serves: that is all that a restart could mend."""
        return HTTPStatus.OK, b"live\n", TEXT

    def ready(self) -> Answer:
        """Whether each store answers, and shows that this runner beats."""
        reasons = [reason for seen in self._fleet.seen() if (reason := _why_not_ready(seen))]
        if reasons:
            return HTTPStatus.SERVICE_UNAVAILABLE, "".join(f"{reason}\n" for reason in reasons).encode(), TEXT
        return HTTPStatus.OK, b"ready\n", TEXT


def _why_not_ready(seen: Seen) -> str | None:
    if not seen.up or seen.snapshot is None:
        return f"{seen.alias}: the store does not answer"
    here, own = socket.gethostname(), {os.getpid(), os.getppid()}
    runners = [r for r in seen.snapshot.runners if r.host == here and r.pid in own]
    if not any(map(seen.snapshot.is_live, runners)):
        return f"{seen.alias}: this runner has not beaten lately"
    return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], exporter: Exporter) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.exporter = exporter
        super().__init__(address, _Handler)
        self._thread = threading.Thread(target=self.serve_forever, name="dlq-metrics-http", daemon=True)
        self._thread.start()

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5.0
    """Seconds that a client may take to say what it wants."""

    def do_GET(self) -> None:
        exporter = self.server.exporter
        match self.path.partition("?")[0]:
            case "/metrics":
                answer = exporter.metrics(self.headers.get("Accept", ""))
            case "/health/live":
                answer = exporter.live()
            case "/health/ready":
                answer = exporter.ready()
            case _:
                answer = HTTPStatus.NOT_FOUND, b"/metrics, /health/live, /health/ready\n", TEXT
        self._say(*answer)

    def _say(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        logger.debug("%s: %s", self.address_string(), format % args)
