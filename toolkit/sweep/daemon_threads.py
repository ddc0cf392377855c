"""Threads that do calls one after the other and that no process waits for at its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class DaemonThreads:
    """As many calls at a time as there are threads; a ThreadPoolExecutor would be joined when Python exits.

    >>> DaemonThreads(2).submit(lambda: 3).result()
    3
    """

    def __init__(self, count: int) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        for _ in range(count):
            threading.Thread(target=self._work, daemon=True).start()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()

        def fulfil() -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - the caller of result() gets it
                future.set_exception(error)

        self._calls.put(fulfil)
        return future

    def _work(self) -> None:
        while True:
            self._calls.get()()
