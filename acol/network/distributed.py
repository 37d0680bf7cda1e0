"""One training or evaluation in several processes, which `torchrun` starts.

The number of processes changes the results of a training only by rounding. All processes draw the same batches and
crops, and each computes its share of every batch; losses are summed, gradients averaged (torch's
DistributedDataParallel), and batch norms use the whole batch. In an evaluation each process gets whole batches, so that
the results are the same to the bit.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class World:
    """The processes that work together: their number `size`, and this one's `rank` in [0, size)."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and messages."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return this process's part of `count` items in order; the lengths of the parts differ by at most one."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum(self, values: Tensor) -> Tensor:
        """Sum `values` over the processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def largest(self, number: int) -> int:
        """Return the largest number of all processes, so that what one of them learns, all know."""
        if self.size == 1:
            return number
        box = torch.tensor(number)  # on the CPU, so that no device is waited for
        dist.all_reduce(box, dist.ReduceOp.MAX)
        return int(box)

    def gather(self, parts: list[Any]) -> list[Any]:
        """Return the parts of all processes in the order of their ranks; tensors must be on the CPU."""
        if self.size == 1:
            return parts
        lists: list[Any] = [[]] * self.size
        dist.all_gather_object(lists, parts)
        return [part for of_one in lists for part in of_one]

    def replicate(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Return the module to call in training instead of `model`; it shares the parameters of `model`."""
        if self.size == 1:
            return model
        model = sync_batch_norms(model, device)
        # Buffers are the same in all processes, since batch norms use the whole batch, so they need not be sent at each
        # step. Of the ways to leave them out, this one has the same name in every version of torch.
        buffers = [name for name, _ in model.named_buffers()]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, buffers)
        return DistributedDataParallel(model)


ALONE = World()

# Process groups that have ended are kept. If DistributedDataParallel had the last reference to one, its destructor
# would wait for the group's threads while it holds Python's global lock. One of them may wait for that lock.
_ended_groups: list[Any] = []


@contextmanager
def connected(device: torch.device) -> Iterator[World]:
    """Yield the world that `torchrun` describes in the environment, or a world of this process alone.

    `device` is the device of this process, from `acol.network.precision.choose_device`.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    options: dict[str, Any] = {"device_id": device} if device.type == "cuda" else {}
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", **options)
    try:
        yield World(dist.get_rank(), size)
    finally:
        _ended_groups.append(dist.group.WORLD)
        dist.destroy_process_group()


def sync_batch_norms(model: nn.Module, device: torch.device) -> nn.Module:
    """Make every batch norm of `model` take its statistics over all processes; the names of parameters stay."""
    if device.type != "cpu":
        from timm.layers import convert_sync_batchnorm  # torch's function would drop the activations in timm's norms

        return convert_sync_batchnorm(model)
    for module in model.modules():
        # The second is timm's batch norm with an activation in it, found by its name so as not to import timm.
        if type(module) is nn.BatchNorm2d or type(module).__name__ == "BatchNormAct2d":
            module.__class__ = _SyncBatchNorm
    return model


class _SyncBatchNorm(nn.BatchNorm2d):
    """Batch norm over all processes on the CPU, where torch.nn.SyncBatchNorm does not run."""

    def forward(self, features: Tensor) -> Tensor:
        y = self._normalised(features) if self.training else super().forward(features)
        return self.act(self.drop(y)) if hasattr(self, "act") else y  # type: ignore[operator]

    def _normalised(self, features: Tensor) -> Tensor:
        x = features.to(torch.promote_types(features.dtype, torch.float32))  # (n, C, h, w), this process's share
        # Mean and variance over the batches of all processes; gradients flow through both sums.
        count, total = all_reduce(torch.stack([torch.ones_like(x[:, 0]).sum().expand(x.shape[1]), x.sum((0, 2, 3))]))
        mean = total / count
        centred = x - mean[:, None, None]
        variance = all_reduce(centred.square().sum((0, 2, 3))) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            # Keep running statistics as torch does, with the unbiased variance.
            self.num_batches_tracked += 1
            momentum = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.detach(), momentum)
            self.running_var.lerp_((variance * count / (count - 1)).detach(), momentum)
        y = centred * (variance + self.eps).rsqrt()[:, None, None]
        if self.weight is not None:
            y = y * self.weight[:, None, None] + self.bias[:, None, None]
        return y.to(features.dtype)
