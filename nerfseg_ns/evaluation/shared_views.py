"""Scoring on several processes: each renders its share of the views, and the results are put together."""

from typing import Dict, Optional

import torch
import torch.distributed as dist
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader
from nerfstudio.utils import comms

from nerfseg_ns.core.processes import shard
from nerfseg_ns.evaluation.scores import SegmentationScores


def own_views(loader: FixedIndicesEvalDataloader) -> FixedIndicesEvalDataloader:
    """This process's share of a loader's views; the loader itself where there is nothing to share.

    That is so with one process, and with fewer views than processes: then each scores all views by itself.
    """
    if comms.get_world_size() == 1 or len(loader.image_indices) < comms.get_world_size():
        return loader
    views = shard(torch.tensor(loader.image_indices)).tolist()
    return FixedIndicesEvalDataloader(loader.input_dataset, tuple(views), loader.device)


def put_together(
    means: Dict[str, float], views: int, scores: Optional[SegmentationScores], device: torch.device
) -> Dict[str, float]:
    """What all processes found in their shares. All of them have to call it, with the same names.

    Args:
        means: over this process's views.
        views: how many these are.
        scores: of this process's views, if they are gathered; afterwards they are those of all views.
        device: of the model.

    Returns:
        The means over the views of all processes.
    """
    sums = torch.tensor([*(mean * views for mean in means.values()), views], dtype=torch.float64, device=device)
    dist.all_reduce(sums)
    matrices = {} if scores is None else scores.matrices
    for prefix in sorted(matrices):
        dist.all_reduce(matrices[prefix])
    return dict(zip(means, (sums[:-1] / sums[-1]).tolist()))
