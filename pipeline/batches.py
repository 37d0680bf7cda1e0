"""Batches of what waits: many threads hand in single items, and one thread works at all that wait at once."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batches(Generic[Item, Result]):
    """Calls `run`, in a thread of its own, on up to `most` of the items that wait; it never waits for more of them."""

    def __init__(self, run: Callable[[Sequence[Item]], Sequence[Result]], most: int) -> None:
        self._run, self._most = run, most
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()
        self._thread = ThreadPoolExecutor(1, "batches")

    def submit(self, item: Item) -> "Future[Result]":
        """Return the future result of an item; the error of a batch is that of each of its items."""
        future: Future[Result] = Future()
        self._waiting.append((item, future))
        self._thread.submit(self._work)  # one for each item: those that find nothing were quicker than they
        return future

    def _work(self) -> None:
        taken: list[tuple[Item, Future[Result]]] = []
        while self._waiting and len(taken) < self._most:
            item, future = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                taken.append((item, future))
        if not taken:
            return
        try:
            results = self._run([item for item, _ in taken])
        except BaseException as error:  # whatever it is: others wait
            for _, future in taken:
                future.set_exception(error)
        else:
            for (_, future), result in zip(taken, results, strict=True):
                future.set_result(result)
