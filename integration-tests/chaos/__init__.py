"""The fault machine: runners under load on servers of their own, and everything that can happen to them.

``plan`` draws the faults from a seed, ``faults`` does them, ``grounds`` has the servers, ``load`` enqueues, ``ledger``
reads what the tasks wrote, ``verdict`` compares that with the store, ``machine`` puts it together. ``./tools/chaos`` is
the command, and ``test_chaos.py`` a short run.
"""
