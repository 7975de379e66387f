"""Looks into trainers and checkpoints, for the tests of the stages and of resuming."""

from pathlib import Path

import torch

from nerfseg_ns.training.checkpoints import find_checkpoint

METHODS = ["nerfseg-fast", "nerfseg"]


def snapshot(module: torch.nn.Module) -> dict:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def rates(trainer) -> dict:
    """Learning rates by group."""
    return {name: optimizer.param_groups[0]["lr"] for name, optimizer in trainer.optimizers.optimizers.items()}


def adam_steps(checkpoint: dict, group: str) -> set:
    """How many steps the optimizer of a group has made, over its parameters."""
    return {int(state["step"]) for state in checkpoint["optimizers"][group]["state"].values()}


def load(run: Path) -> dict:
    return torch.load(find_checkpoint(run), map_location="cpu", weights_only=True)


def geometry_of(checkpoint: dict) -> dict:
    return {name: value for name, value in checkpoint["pipeline"].items() if name.startswith("_model.geometry.")}
