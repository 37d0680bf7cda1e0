"""Batches of waiting items: many threads submit single items, and one thread takes all that wait at once."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batches(Generic[Item, Result]):
    """Calls `function`, in a thread of its own, with up to `size` waiting items; it never waits for more of them."""

    def __init__(self, function: Callable[[Sequence[Item]], Sequence[Result]], size: int) -> None:
        self._function, self._size = function, size
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()
        self._thread = ThreadPoolExecutor(1, "batches")

    def submit(self, item: Item) -> "Future[Result]":
        """Return the future result of an item; the error of a batch is that of each of its items."""
        future: Future[Result] = Future()
        self._waiting.append((item, future))
        # A call for each item, so that none waits for ever; a call whose item an earlier batch took finds nothing.
        self._thread.submit(self._process_batch)
        return future

    def _process_batch(self) -> None:
        batch: list[tuple[Item, Future[Result]]] = []
        while self._waiting and len(batch) < self._size:
            item, future = self._waiting.popleft()
            if future.set_running_or_notify_cancel():  # not for a request that was given up meanwhile
                batch.append((item, future))
        if not batch:
            return
        try:
            results = self._function([item for item, _ in batch])
        except BaseException as error:  # any error: the callers wait for their futures
            for _, future in batch:
                future.set_exception(error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)
