"""The app of the measured site: it writes down each call of the store, for the measurement that counts them."""

from __future__ import annotations

import os

from django.apps import AppConfig


class BenchConfig(AppConfig):
    """``DLQ_BENCH_CALLS`` names the file that gets a line for each call."""

    name = "bench"

    def ready(self) -> None:
        """Listen, if somebody wants to know."""
        from dlq.signals import store_called

        if path := os.environ.get("DLQ_BENCH_CALLS"):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

            def write(*, verb: str, **_: object) -> None:
                os.write(file, f"{verb}\n".encode())

            store_called.connect(write, weak=False)
