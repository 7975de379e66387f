"""Seg-MLP: from the location feature to the semantic feature of a sample (stage 2)."""

from jaxtyping import Float
from torch import Tensor, nn


class SegMLP(nn.Module):
    """A linear layer, a second one, ReLU.

    Args:
        in_dim: width of the geometry's location feature.
        hidden_dim: width between the two layers (256 in the paper).
        out_dim: width of the semantic feature (128 in the paper).
    """

    def __init__(self, in_dim: int, hidden_dim: int = 256, out_dim: int = 128) -> None:
        super().__init__()
        self.remap = nn.Linear(in_dim, hidden_dim)
        self.project = nn.Linear(hidden_dim, out_dim)

    def forward(self, features: Float[Tensor, "rays samples in_dim"]) -> Float[Tensor, "rays samples out_dim"]:
        return self.project(self.remap(features)).relu()
