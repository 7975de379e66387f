"""A run that breaks down ends with one message, and leaves its checkpoints as they were."""

import math

import pytest
import torch

from nerfseg_ns.errors import UserError
from nerfseg_ns.training.nan_checks import CHECK_EVERY, require_finite_losses


def break_down(trainer) -> None:
    with torch.no_grad():
        trainer.pipeline.model.geometry.field.density.weight[0, 3] = math.nan


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_an_error(value):
    losses = {"rgb_loss": torch.tensor(0.25), "interlevel_loss": torch.tensor(value)}
    with pytest.raises(UserError, match=r"step 300 .*rgb_loss 0.25, interlevel_loss -?(nan|inf)"):
        require_finite_losses(losses, 300)


def test_training_ends_where_it_breaks_down(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 2 * CHECK_EVERY, 10)
    step_trainer(trainer, range(2))
    break_down(trainer)
    step_trainer(trainer, range(2, 4))  # it is not looked at in every step
    with pytest.raises(UserError, match=f"The loss at step {CHECK_EVERY} .*nan.*--load-dir"):
        step_trainer(trainer, [CHECK_EVERY])


def test_what_is_broken_is_not_saved(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 10, 10)
    step_trainer(trainer, range(2))
    trainer.save_checkpoint(1)
    saved = trainer.checkpoint_dir / "step-000000001.ckpt"
    before = saved.read_bytes()
    break_down(trainer)
    with pytest.raises(UserError, match="After step 5, 1 of the run's parameters .*density.weight.*--machine.seed"):
        trainer.save_checkpoint(5)
    assert list(trainer.checkpoint_dir.iterdir()) == [saved] and saved.read_bytes() == before
