"""``ThreadSeat``: a place for one worker in threads, which is filled again when a defect has ended the worker."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from dlq.conf import WorkerPool
from dlq.runtime.lasting import LastingThread
from dlq.runtime.page import Page
from dlq.runtime.rescue import DeadWorker
from dlq.runtime.threaded import Abandoned, ThreadedWorker
from dlq.workers import Order, Sight

__all__ = ["MainThread", "ThreadSeat"]


class MainThread:
    """Lets the main thread of the process run the jobs of a seat's workers, one worker after another."""

    def __init__(self) -> None:
        """No worker is there yet."""
        self._workers: queue.SimpleQueue[ThreadedWorker | None] = queue.SimpleQueue()

    def give(self, worker: ThreadedWorker | None) -> None:
        """The next worker; None when there will be no other."""
        self._workers.put(worker)

    def serve(self) -> None:
        """Run the jobs of the workers until the last one has ended."""
        while (worker := self._workers.get()) is not None:
            worker.serve()


class ThreadSeat:
    """Waits until its worker may register; starts it, and another one after a defect."""

    def __init__(
        self,
        pool: WorkerPool,
        alias: str,
        *,
        make: Callable[[ThreadSeat], ThreadedWorker],
        bury: Callable[[DeadWorker], object],
        ended: Callable[[], object],
        main_thread: MainThread | None = None,
    ) -> None:
        """``make`` and ``bury`` are called in the thread that then talks to the store for the worker.

        ``bury`` is told what a worker held that failed; ``ended`` is called when there will be no other worker.
        With ``main_thread`` jobs run there, else in threads of their own.
        """
        self.pool = pool
        self.alias = alias
        self.order = Order.WORK
        """What an operator has told whoever sits here: it holds for successors too."""
        self._make = make
        self._bury = bury
        self._tell_end = ended
        self._main_thread = main_thread
        self._may_start = threading.Event()
        self._stopping = threading.Event()
        self._worker: ThreadedWorker | None = None
        self._thread = LastingThread(
            f"dlq-control-{alias}-{pool.selector.text}", self._sit, self._stopping, self._end
        )

    def start(self) -> None:
        """Begin; a worker comes once it is let in."""
        self._thread.start()

    def let_in(self) -> None:
        """The store knows the runner: workers may register."""
        self._may_start.set()

    def hear(self, sight: Sight) -> None:
        """Tell the worker what concerns it."""
        if self._worker is not None:
            self.order = self._worker.hear(sight) or self.order

    def wake(self, queues: list[str]) -> None:
        """These queues are said to have jobs."""
        if self._worker is not None:
            self._worker.wake(queues)

    def stop(self) -> None:
        """Have the worker end when what runs has finished, and let no other sit down."""
        self._stopping.set()
        self._may_start.set()
        if self._worker is not None:
            self._worker.stop()

    def abandon(self) -> None:
        """Have the worker end without waiting for what runs."""
        if self._worker is not None:
            self._worker.abandon()

    @property
    def page(self) -> Page | None:
        """That of the worker that sits here; None while nobody does."""
        return None if self._worker is None or not self.is_taken else self._worker.page

    @property
    def is_taken(self) -> bool:
        """Whether a worker sits here, or one will."""
        return self._thread.is_alive

    @property
    def is_busy(self) -> bool:
        """Whether a job of the last worker runs, be it abandoned or not."""
        return self._worker is not None and self._worker.is_busy

    # --- The control thread of the workers ---

    def _sit(self) -> None:
        self._may_start.wait()
        if self._stopping.is_set() or self.order is Order.STOP:
            return
        worker = self._worker = self._make(self)
        if self._stopping.is_set():
            worker.stop()  # It was told so before it sat here.
        serving = self._serve(worker)
        try:
            worker.run()
        except BaseException as error:
            self._bury(worker.remains(error))
            if not isinstance(error, Abandoned):
                raise
        else:
            serving()

    def _serve(self, worker: ThreadedWorker) -> Callable[[], object]:
        """Have jobs run; what is returned waits until they have."""
        if self._main_thread is not None:
            self._main_thread.give(worker)
            return lambda: None
        thread = threading.Thread(target=worker.serve, name=f"dlq-jobs-{worker.info.id}", daemon=True)
        thread.start()
        return thread.join

    def _end(self) -> None:
        if self._main_thread is not None:
            self._main_thread.give(None)
        self._tell_end()
