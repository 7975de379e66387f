"""How long the stages last and what changes in them, all as functions of the step."""

import math
from dataclasses import dataclass
from typing import Optional, Tuple

from nerfseg_ns.core.stage import Stage


@dataclass
class StageScheduleConfig:
    """How long the stages last and how their learning rates fall."""

    implicit_steps: int = 300000
    """Steps of stage 1. More give sharper geometry; labels can only be as good as the geometry is."""
    semantic_steps: int = 20000
    """Steps of stage 2. Few labels need few steps."""
    implicit_lr_final: float = 0.1
    """Learning rate at the end of stage 1, as a share of the one at its start (exponential decay); 1 keeps it."""
    semantic_lr_final: float = 0.1
    """The same for stage 2."""
    warmup_steps: int = 0
    """Steps at the start of each stage over which the learning rate rises from nothing."""

    @property
    def total_steps(self) -> int:
        """Steps of both stages."""
        return self.implicit_steps + self.semantic_steps

    def set_lengths(self, implicit_steps: Optional[int], semantic_steps: Optional[int]) -> None:
        """Gives the stages other lengths, where they are given."""
        self.implicit_steps = implicit_steps or self.implicit_steps
        self.semantic_steps = semantic_steps or self.semantic_steps

    def stage_at(self, step: int) -> Stage:
        """The stage that a training step belongs to."""
        return Stage.IMPLICIT if step < self.implicit_steps else Stage.SEMANTIC

    def progress_at(self, step: int) -> Tuple[int, int]:
        """Steps done within the step's stage, and the stage's length."""
        if self.stage_at(step) is Stage.IMPLICIT:
            return step, self.implicit_steps
        return min(step - self.implicit_steps, self.semantic_steps), self.semantic_steps

    def learning_rate_factor(self, step: int) -> float:
        """What the base learning rates of the step's stage are multiplied with: warm-up, then exponential decay."""
        done, length = self.progress_at(step)
        final = self.implicit_lr_final if self.stage_at(step) is Stage.IMPLICIT else self.semantic_lr_final
        warmup = min(1.0, (done + 1) / (self.warmup_steps + 1))
        return warmup * math.exp(math.log(final) * min(1.0, done / max(1, length)))
