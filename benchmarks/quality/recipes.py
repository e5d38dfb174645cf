"""What is compared: losses, their schedules and auxiliary targets, all trained for the same few steps."""

from dataclasses import dataclass, field
from typing import Any

from clew.network.options import PRESETS, UNetOptions, axis_offsets
from clew.space import Triple
from clew.training.options import TrainingOptions

STEPS = 600
"""Optimiser steps of each run: short, so that three seeds of every recipe take hours and not days."""
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Recipe:
    """One way to train: changes of the options, and the distances of the predicted offsets."""

    name: str
    changes: dict[str, Any]
    distances: tuple[int, ...] = (1,)
    network: dict[str, Any] = field(default_factory=dict)

    def training_options(self, seed: int, steps: int, per_section: bool) -> TrainingOptions:
        """Options of one run."""
        after = round(self.changes.get("malis_share", 1.0) * steps)
        changes = {name: value for name, value in self.changes.items() if name != "malis_share"}
        return TrainingOptions(
            steps=steps, seed=seed, warmup=steps // 10, per_section=per_section, malis_after=after,
            crop=CROPS[per_section], **changes,
        )  # fmt: skip

    def network_options(self, per_section: bool) -> UNetOptions:
        """The network: the small preset for isotropic data or for sections, with this recipe's offsets."""
        preset = PRESETS["small-anisotropic" if per_section else "small"]
        offsets = tuple(offset for offset in axis_offsets(*self.distances) if keeps(offset, per_section))
        return UNetOptions(**{**preset.__dict__, "offsets": offsets, **self.network})


CROPS = {False: (64, 64, 64), True: (24, 96, 96)}


def keeps(offset: Triple, per_section: bool) -> bool:
    """Long offsets along z are left out where sections are four times as thick as pixels."""
    return not per_section or offset[0] >= -1


SQUARED = {"loss": "squared-error", "malis_weight": 0.0}
ENTROPY = {"loss": "cross-entropy", "malis_weight": 0.0}
ONE_PASS = {"loss": "squared-error", "malis_weight": 1.0, "malis_share": 0.0, "malis_passes": 1}
TWO_PASSES = {"loss": "squared-error", "malis_weight": 1.0, "malis_share": 0.0}
THEN = {"loss": "squared-error", "malis_weight": 1.0, "malis_share": 0.5}
HALF = {"loss": "cross-entropy", "malis_weight": 0.5, "malis_share": 0.5}
LONG = (1, 4, 12)
DESCRIPTORS = {"descriptors": True}

RECIPES = (
    Recipe("squared error", SQUARED),
    Recipe("cross-entropy", ENTROPY),
    Recipe("MALIS, one pass", ONE_PASS),
    Recipe("MALIS, two passes", TWO_PASSES),
    Recipe("squared error, then MALIS", THEN),
    Recipe("cross-entropy, long-range", ENTROPY, LONG),
    Recipe("cross-entropy, descriptors", ENTROPY | {"descriptor_weight": 1.0}, network=DESCRIPTORS),
    Recipe("squared error, then MALIS; long-range", THEN, LONG),
    Recipe("squared error, then MALIS; descriptors", THEN | {"descriptor_weight": 1.0}, network=DESCRIPTORS),
    Recipe("cross-entropy, then half MALIS", HALF),
)

RICHEST = "cross-entropy, long-range"
"""The recipe in whose predictions all fragments are compared; in the others, only the usual ones."""
