"""What is compared: ways to go on from a start network, all for the same number of steps."""

from typing import Any, NamedTuple

from benchmarks.study.folds import ISOTROPIC, Kind
from clew.space import Triple
from clew.training.options import TrainingOptions

STEPS = 250
"""Optimiser steps of a screening run; survivors go on longer."""


class Recipe(NamedTuple):
    """A name, and what differs from the control."""

    name: str
    changes: dict[str, Any]

    def options(self, seed: int, steps: int, kind: Kind) -> TrainingOptions:
        """Options of one run."""
        common = {"learning_rate": 2e-4, "warmup": 25, "malis_after": 0, "malis_weight": 0.0}
        chosen = common | self.changes
        if "malis_window" in chosen:
            chosen["malis_window"] = _as_wide(chosen["malis_window"], kind)
        return TrainingOptions(steps=steps, seed=seed, validate_every=steps, **kind.training | chosen)


def _as_wide(window: Triple, kind: Kind) -> Triple:
    """A window of so many voxels of 10 nm, in voxels of this kind of tissue."""
    z, y, x = (round(edge * ISOTROPIC.voxel_size[0] / size) for edge, size in zip(window, kind.voxel_size, strict=True))
    return z, y, x


def windows(edge: int, weight: float = 0.5, **changes: Any) -> dict[str, Any]:
    """MALIS in cubes of this edge, in voxels of 10 nm, beside the voxel-wise loss."""
    return {"malis_weight": weight, "malis_window": (edge, edge, edge), **changes}


START = Recipe("start", {"learning_rate": 1e-3, "warmup": 200})
"""How every run begins: the voxel-wise loss alone, from random weights."""

CONTROL = Recipe("control", {})
RECIPES = (
    CONTROL,
    Recipe("control, a quarter of the rate", {"learning_rate": 0.5e-4}),
    Recipe("whole crop", {"malis_weight": 0.5}),
    Recipe("whole crop, one pass", {"malis_weight": 0.5, "malis_passes": 1}),
    Recipe("whole crop, a quarter of the rate", {"malis_weight": 0.5, "learning_rate": 0.5e-4}),
    Recipe("negative pass in the whole crop", {"malis_weight": 0.5, "malis_positive": 0.0}),
    Recipe("windows of 28", windows(28)),
    Recipe("windows of 20", windows(20)),
    Recipe("windows of 40", windows(40)),
    Recipe("windows of 28 and whole crop", windows(28, malis_whole_crop=0.5)),
    Recipe("windows of 28, gradient 0.3", windows(28, malis_gradient=0.3)),
    Recipe("windows of 28, gradient 1", windows(28, malis_gradient=1.0)),
    Recipe("negative pass in windows of 28", windows(28, malis_positive=0.0)),
    Recipe(
        "negative pass in windows of 28, a quarter of the rate", windows(28, malis_positive=0.0, learning_rate=0.5e-4)
    ),
    Recipe("negative pass in windows of 28, 3 : 1", windows(28, weight=0.75, malis_positive=0.0)),
    Recipe("windows of 28, cross-entropy of errors", windows(28, malis_form="cross-entropy", malis_errors_above=0.3)),
    Recipe("windows of 28, a quarter of the rate", windows(28, learning_rate=0.5e-4)),
    Recipe("windows of 28, thin neurites thrice", windows(28, thin_weight=3.0)),
)
"""Screened with one seed, in this order; see the page of the study for what came of each."""
ARMS = ("control", "whole crop", "whole crop, one pass", "windows of 28")
"""Compared with fresh seeds."""
