"""Several processes that train together: what each of them gets, and what all of them share."""

import os

import torch
from jaxtyping import Shaped
from nerfstudio.utils import comms
from torch import Tensor


def shard(items: Shaped[Tensor, "items *rest"]) -> Shaped[Tensor, "share *rest"]:
    """This process's share of what all processes train on.

    Every item goes to exactly one process, and the shares differ by one item at most. Where there are fewer items than
    processes, everyone gets all of them, so that nobody goes without.

    Args:
        items: the same ones in the same order on every process. The order in which photos are batched is random and
            differs: order by `image_idx` first.

    Returns:
        All items where there is one process only.
    """
    rank, world_size = comms.get_rank(), comms.get_world_size()
    return items if len(items) < world_size else items[rank::world_size].contiguous()


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shared_seed() -> int:
    """A seed that is the same in all processes: that of the first one's random numbers. All have to ask for it."""
    seeds = [torch.initial_seed() % 2**31]
    if comms.get_world_size() > 1:
        torch.distributed.broadcast_object_list(seeds, src=0)
    return seeds[0]
