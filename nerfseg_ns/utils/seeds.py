"""Random numbers of a training in this process."""

import random

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """As ns-train seeds; its own function would bring all methods' configs with it."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
