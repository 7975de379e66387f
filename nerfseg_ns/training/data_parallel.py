"""Training on several processes, each with a copy of the model and rays of its own, through torch.distributed."""

import torch
from jaxtyping import Shaped
from nerfstudio.utils import comms
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


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


def shared_seed() -> int:
    """A seed that is the same in all processes: that of the first one's random numbers. All have to ask for it."""
    seeds = [torch.initial_seed() % 2**31]
    if comms.get_world_size() > 1:
        torch.distributed.broadcast_object_list(seeds, src=0)
    return seeds[0]


def data_parallel(model: nn.Module) -> DistributedDataParallel:
    """Wraps a model so that a forward and backward pass through the wrapper average the gradients over all processes.

    Only parameters that require gradients at this time are averaged from then on: wrap anew when others begin to
    learn. All parameters and buffers of the first process are given to the others; buffers again in every step.

    Args:
        model: whole, not wrapped.
    """
    # Not every parameter has to take part in every step: what a batch does not see, a geometry may leave out.
    return DistributedDataParallel(model, find_unused_parameters=True)
