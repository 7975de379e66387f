"""Training on several processes, each with a copy of the model and rays of its own, through torch.distributed."""

from torch import nn
from torch.nn.parallel import DistributedDataParallel


def data_parallel(model: nn.Module) -> DistributedDataParallel:
    """Wraps a model so that a forward and backward pass through the wrapper average the gradients over all processes.

    Only parameters that require gradients at this time are averaged from then on: wrap anew when others begin to
    learn. All parameters and buffers of the first process are given to the others; buffers again in every step.

    Args:
        model: whole, not wrapped.
    """
    # Not every parameter has to take part in every step: what a batch does not see, a geometry may leave out.
    return DistributedDataParallel(model, find_unused_parameters=True)
