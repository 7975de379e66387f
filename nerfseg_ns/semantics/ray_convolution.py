"""Ray convolution (R in the paper's Table III): neighbouring samples of a ray agree on what they are."""

from jaxtyping import Float
from torch import Tensor, nn


class RayConvolution(nn.Module):
    """A 1-D convolution over the samples of each ray, ReLU. It never mixes rays.

    Args:
        dim: width of the semantic feature, in and out.
        kernel_size: samples that see each other; odd, so that the padding keeps the number of samples.

    Raises:
        ValueError: the kernel is even.
    """

    def __init__(self, dim: int = 128, kernel_size: int = 3) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"the ray convolution needs an odd kernel size, got {kernel_size}")
        self.convolution = nn.Conv1d(dim, dim, kernel_size, padding=kernel_size // 2)

    def forward(self, features: Float[Tensor, "rays samples dim"]) -> Float[Tensor, "rays samples dim"]:
        return self.convolution(features.transpose(1, 2)).relu().transpose(1, 2)
