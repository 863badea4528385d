"""One step of a measurement, in the environment of the system measured: ``python -m peer_side NAME STEP [JOBS]``.

Steps: ``prepare`` makes tables; ``one`` prints how many jobs are enqueued one by one in a second; ``many JOBS``
enqueues so many, in bulk where the system can, and prints how many that makes in a second; ``worker`` prints the
command that starts its worker.
"""

import json
import os
import sys
import time
from importlib import import_module


def main(name: str, step: str, jobs: str = "0") -> None:
    """Do it."""
    os.environ |= {"BENCH_PEER": name, "DJANGO_SETTINGS_MODULE": "peer_settings"}
    peer = import_module(f"with_{name}")
    if hasattr(peer, "SETTINGS"):
        import django

        django.setup()
    if step == "prepare":
        if hasattr(peer, "prepare"):
            peer.prepare()
    elif step == "worker":
        print(json.dumps(peer.WORKER))
    elif step == "one":
        print(peer.enqueue())
    else:
        began = time.perf_counter()
        peer.enqueue_many(int(jobs))
        print(int(jobs) / (time.perf_counter() - began))


if __name__ == "__main__":
    main(*sys.argv[1:])
