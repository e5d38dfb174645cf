"""Make a bundled network anew: `make weights DATA=FOLDER NETWORK=NAME` (one to two hours on two cores with AMX, a day without).

1. Train without sections 120 to 150 of the sample, in one or more steps that each go on from the one before: voxel by voxel
   on small crops, then with constrained MALIS on larger ones where that was found to help. Checkpoint and threshold are
   chosen by the segmentation of these sections.
2. Go on from there on all annotation, and keep threshold and held-out scores of the last step in the record.

The network for sections four times as thick as pixels learns from the isotropic sample, thinned.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.thinned import HELD_OUT, THINNED_HELD_OUT, write_thinned
from benchmarks.workload import SAMPLE
from clew import pipeline
from clew.network.bundled import WEIGHTS
from clew.network.checkpoint import load_checkpoint, save_checkpoint
from clew.network.options import BUNDLED
from clew.training.options import SERIAL_SECTIONS

FILES = (SAMPLE, "fib_small_train.h5", "fib_small_example.h5")


class Choice(NamedTuple):
    """Default score and threshold, and what they were chosen on, by networks that had not seen it."""

    score: str
    threshold: float
    on: str


class Recipe(NamedTuple):
    """How one of the networks is made.

    Its files, the held-out part of the first, options of all steps, of those without this part, of those on everything,
    and its default score and threshold.
    """

    name: str
    files: tuple[str, ...]
    held_out: str
    options: dict[str, Any]
    parts: tuple[dict[str, Any], ...]
    everything: tuple[dict[str, Any], ...]
    choice: Choice


MALIS: dict[str, Any] = {"crop": (96, 96, 96), "malis_after": 0, "warmup": 50}
WINDOWS: dict[str, Any] = {"malis_after": 0, "warmup": 50, "learning_rate": 2e-4}
ISOTROPIC = Recipe(
    BUNDLED,
    FILES,
    f"{HELD_OUT.start}:{HELD_OUT.stop},:,:",
    {"elastic_spacing": (24.0, 24.0, 24.0), "scaling": 0.0},
    (
        {"steps": 8000, "malis_after": 8000, "learning_rate": 1e-3, "validate_every": 1000},
        {**MALIS, "steps": 1500, "learning_rate": 4e-4, "validate_every": 300},
    ),
    (
        {**MALIS, "steps": 1000, "learning_rate": 3e-4, "validate_every": 250},
        {**WINDOWS, "malis_window": (28, 28, 28), "steps": 1500, "validate_every": 300},
        {**WINDOWS, "malis_window": (28, 28, 28), "steps": 1500, "validate_every": 300, "seed": 1},
    ),
    Choice("mean", 0.85, "fib25_sample2, the small volumes and sample 1 (z < 120) by networks that had not seen them"),
)
ANISOTROPIC = Recipe(
    "fib-40x10x10nm",
    FILES[:1],
    THINNED_HELD_OUT,
    {
        **dataclasses.asdict(SERIAL_SECTIONS),
        "per_section": True, "margin": 2, "validation_surroundings": 10, "crop": (24, 96, 96), "validate_every": 500,
    },
    (
        {
            "preset": "small-anisotropic", "offsets": "-1,0,0;0,-1,0;0,0,-1;0,-4,0;0,0,-4;0,-12,0;0,0,-12",
            "steps": 5000, "malis_after": 5000, "learning_rate": 1e-3,
        },
    ),
    ({"steps": 1500, "malis_after": 1500, "learning_rate": 5e-4, "warmup": 50},),
    Choice("mean", 0.76, "thick sections of sample 1 (z < 120), which the network had not seen"),
)  # fmt: skip


def main(folder: Path, work: Path, name: str) -> None:
    """Train all steps of one network in `work` and write the bundled checkpoint."""
    recipe = {recipe.name: recipe for recipe in (ISOTROPIC, ANISOTROPIC)}[name]
    work.mkdir(parents=True, exist_ok=True)
    part, whole = _data(recipe, folder, work)
    paths: list[Path] = []
    for index, step in enumerate((*recipe.parts, *recipe.everything)):
        last = index >= len(recipe.parts)
        initial = str(paths[-1]) if paths else None
        paths.append(work / f"{index + 1}.pt")
        pipeline.train(
            str(paths[-1]), data=whole if last else part, held_out=None if last else recipe.held_out, initial=initial,
            **recipe.options, **step,
        )  # fmt: skip
    bundle(recipe, paths, WEIGHTS / f"{name}.pt")


def bundle(recipe: Recipe, paths: list[Path], target: Path) -> None:
    """The last network, which was trained on everything, with the score and threshold that others chose."""
    steps = [load_checkpoint(path) for path in paths]
    record = {
        "trained_on": "all annotation of " + ", ".join(recipe.files),
        "chosen_on": recipe.choice.on,
        "steps": [checkpoint.record["step"] for checkpoint in steps],
    }
    target.parent.mkdir(exist_ok=True)
    score, threshold, _ = recipe.choice
    save_checkpoint(target, dataclasses.replace(steps[-1], threshold=threshold, score=score, record=record), half=True)


def _data(recipe: Recipe, folder: Path, work: Path) -> tuple[list[str], list[str]]:
    """Volumes without the held-out part (but for the first, which is split by the trainer), and all of them."""
    if recipe is ISOTROPIC:
        paths = [str(folder / file) for file in recipe.files]
        return paths, paths
    return write_thinned(folder / recipe.files[0], work)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path("build") / sys.argv[2], sys.argv[2])
