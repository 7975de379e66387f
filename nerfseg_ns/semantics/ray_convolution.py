"""Ray convolution (R in the paper's Table III): neighbouring samples of a ray agree on what they are."""

from jaxtyping import Float, Int
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

    def at(
        self, features: Float[Tensor, "packed dim"], neighbours: Int[Tensor, "kept kernel"]
    ) -> Float[Tensor, "kept dim"]:
        """The same at some samples only.

        Args:
            features: of the samples that are needed, packed.
            neighbours: for each of those samples, where the features that its kernel sees are.
        """
        places = neighbours.unbind(dim=1)  # one after the other: together they would take a kernel's size of memory
        terms = (features[place] @ kernel.T for place, kernel in zip(places, self.convolution.weight.unbind(dim=2)))
        return sum(terms, self.convolution.bias).relu()
