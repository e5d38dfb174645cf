"""Make the bundled networks anew: `make weights DATA=FOLDER` (about three hours on two cores with AMX, a day without).

1. Train without sections 120 to 150 of the sample, voxel by voxel on small crops.
2. Go on with constrained MALIS on larger crops; checkpoint and threshold are chosen by the segmentation of these sections.
3. Go on from there on all annotation, and keep threshold and held-out scores of step 2 in the record.

The network for sections four times as thick as pixels learns from the isotropic sample, thinned.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.thinned import THINNED_HELD_OUT, write_thinned
from clew import pipeline
from clew.network.bundled import WEIGHTS
from clew.network.checkpoint import load_checkpoint, save_checkpoint
from clew.network.options import BUNDLED
from clew.training.options import SERIAL_SECTIONS

FILES = ("fib25_sample2.h5", "fib_small_train.h5", "fib_small_example.h5")
STEPS = ("voxels", "held-out", "everything")


class Recipe(NamedTuple):
    """How one of the networks is made: its files, the held-out part of the first, options of all steps and of each."""

    name: str
    files: tuple[str, ...]
    held_out: str
    options: dict[str, Any]
    voxels: dict[str, Any]
    malis: dict[str, Any]
    held_out_malis: dict[str, Any]
    all_malis: dict[str, Any]


ISOTROPIC = Recipe(
    BUNDLED,
    FILES,
    "120:150,:,:",
    {"elastic_spacing": (24.0, 24.0, 24.0), "scaling": 0.0},
    {"steps": 8000, "malis_after": 8000, "learning_rate": 1e-3, "validate_every": 1000},
    {"crop": (96, 96, 96), "malis_after": 0, "warmup": 50},
    {"steps": 1500, "learning_rate": 4e-4, "validate_every": 300},
    {"steps": 1000, "learning_rate": 3e-4, "validate_every": 250},
)
ANISOTROPIC = Recipe(
    "fib-40x10x10nm",
    FILES[:1],
    THINNED_HELD_OUT,
    {
        **dataclasses.asdict(SERIAL_SECTIONS),
        "per_section": True,
        "margin": 2,
        "validation_surroundings": 10,
        "offsets": "-1,0,0;0,-1,0;0,0,-1;0,-4,0;0,0,-4;0,-12,0;0,0,-12",
    },
    {
        "preset": "small-anisotropic", "crop": (24, 96, 96),
        "steps": 5000, "malis_after": 5000, "learning_rate": 1e-3, "validate_every": 500,
    },
    {"crop": (28, 128, 128), "malis_after": 0, "warmup": 50},
    {"steps": 800, "learning_rate": 4e-4, "validate_every": 200},
    {"steps": 600, "learning_rate": 3e-4, "validate_every": 200},
)  # fmt: skip


def main(folder: Path, work: Path, name: str) -> None:
    """Train the three steps of one network in `work` and write the bundled checkpoint."""
    recipe = {recipe.name: recipe for recipe in (ISOTROPIC, ANISOTROPIC)}[name]
    work.mkdir(parents=True, exist_ok=True)
    one, two, three = (str(work / f"{step}.pt") for step in STEPS)
    part, whole = _data(recipe, folder, work)
    options, malis = recipe.options, recipe.options | recipe.malis
    first = malis | {"offsets": None}
    pipeline.train(one, data=part, held_out=recipe.held_out, **options, **recipe.voxels)
    pipeline.train(two, data=part, held_out=recipe.held_out, initial=one, **first, **recipe.held_out_malis)
    pipeline.train(three, data=whole, initial=two, **first, **recipe.all_malis)
    bundle(recipe, [Path(path) for path in (one, two, three)], WEIGHTS / f"{name}.pt")


def bundle(recipe: Recipe, paths: list[Path], target: Path) -> None:
    """The network trained on everything with the threshold and scores that the held-out one had."""
    first, chosen, final = (load_checkpoint(path) for path in paths)
    record = {
        "trained_on": "all annotation of " + ", ".join(recipe.files),
        "chosen_on": f"{recipe.held_out} of {recipe.files[0]} by a network that had not seen it",
        "held_out_scores": chosen.record["held_out_scores"],
        "steps": [checkpoint.record["step"] for checkpoint in (first, chosen, final)],
    }
    target.parent.mkdir(exist_ok=True)
    bundled = dataclasses.replace(final, threshold=chosen.threshold, score=chosen.score, record=record)
    save_checkpoint(target, bundled, half=True)


def _data(recipe: Recipe, folder: Path, work: Path) -> tuple[list[str], list[str]]:
    """Volumes without the held-out part (but for the first, which is split by the trainer), and all of them."""
    if recipe is ISOTROPIC:
        paths = [str(folder / file) for file in recipe.files]
        return paths, paths
    return write_thinned(folder / recipe.files[0], work)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path("runs") / sys.argv[2], sys.argv[2])
