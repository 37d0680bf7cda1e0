"""Stop a training at numbers that are not finite, without waiting for the GPU."""

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor


class FiniteWatch:
    """Checks numbers after they have arrived from the device.

    If the CPU read a GPU's number at once, it would wait for every step before it. So the numbers are copied in the
    background and checked when they have arrived: on a GPU a bad one is found some steps later.
    """

    def __init__(self) -> None:
        self._pending: deque[tuple[Tensor, torch.cuda.Event | None, Callable[[list[float]], str]]] = deque()

    def add(self, numbers: Tensor, describe: Callable[[list[float]], str]) -> None:
        """Watch `numbers` (n,); `describe` makes the error's message from them. Raises as `check` does."""
        event = None
        if numbers.device.type == "cuda":
            host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
            numbers, event = host.copy_(numbers, non_blocking=True), torch.cuda.Event()
            event.record()
        self._pending.append((numbers, event, describe))
        self.check(wait=False)

    def check(self, wait: bool) -> None:
        """Check the numbers that have arrived; with `wait`, wait for all and check them.

        Raises `FloatingPointError` for the first that are not finite.
        """
        while self._pending:
            numbers, event, describe = self._pending[0]
            if event is not None and not event.query():
                if not wait:
                    return
                event.synchronize()
            self._pending.popleft()
            if not torch.isfinite(numbers).all():
                raise FloatingPointError(describe(numbers.tolist()))
