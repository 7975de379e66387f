"""Color-radiance network (C in the paper's Table III): the color of the pixel as a hint of its class."""

from typing import Tuple

from jaxtyping import Float
from torch import Tensor, nn


class ColorRadianceNetwork(nn.Module):
    """The ray's pixel color through two ReLU layers.

    Args:
        widths: of the two layers (16 and 64 in the paper).
    """

    def __init__(self, widths: Tuple[int, int] = (16, 64)) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, widths[0]), nn.ReLU(), nn.Linear(widths[0], widths[1]), nn.ReLU())
        self.out_dim = widths[1]

    def forward(self, rgb: Float[Tensor, "rays 3"]) -> Float[Tensor, "rays color"]:
        return self.layers(rgb)
