"""What this machine computes on."""


def device_type() -> str:
    """What a training on this machine would run on: `cuda` where there is one, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
