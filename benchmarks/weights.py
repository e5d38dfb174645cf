"""Make the bundled network anew: `make weights DATA=FOLDER` (about two hours on two cores with AMX, a day without).

1. Train without sections 120 to 150 of the sample, voxel by voxel on small crops.
2. Go on with constrained MALIS on larger crops; checkpoint and threshold are chosen by the segmentation of these sections.
3. Go on from there on all annotation, and keep threshold and held-out scores of step 2 in the record.
"""

import dataclasses
import sys
from pathlib import Path

from clew import pipeline
from clew.network.bundled import WEIGHTS
from clew.network.checkpoint import load_checkpoint, save_checkpoint
from clew.network.options import BUNDLED

HELD_OUT = "120:150,:,:"
FILES = ("fib25_sample2.h5", "fib_small_train.h5", "fib_small_example.h5")
AUGMENTATION = {"elastic_spacing": (24.0, 24.0, 24.0), "scaling": 0.0}
VOXELS = {"steps": 8000, "malis_after": 8000, "learning_rate": 1e-3, "validate_every": 1000}
MALIS = {"crop": (96, 96, 96), "malis_after": 0, "warmup": 50}
HELD_OUT_MALIS = MALIS | {"steps": 1500, "learning_rate": 4e-4, "validate_every": 300}
ALL_MALIS = MALIS | {"steps": 1000, "learning_rate": 3e-4, "validate_every": 250}


def main(folder: Path, work: Path = Path("runs/weights"), name: str = BUNDLED) -> None:
    """Train the three steps in `work` and write the bundled checkpoint."""
    data = {"data": [str(folder / file) for file in FILES], **AUGMENTATION}
    work.mkdir(parents=True, exist_ok=True)
    voxels, held_out, everything = (work / f"{step}.pt" for step in ("voxels", "held-out", "everything"))
    pipeline.train(str(voxels), held_out=HELD_OUT, **data, **VOXELS)
    pipeline.train(str(held_out), held_out=HELD_OUT, initial=str(voxels), **data, **HELD_OUT_MALIS)
    pipeline.train(str(everything), initial=str(held_out), **data, **ALL_MALIS)
    bundle(voxels, held_out, everything, WEIGHTS / f"{name}.pt")


def bundle(voxels: Path, held_out: Path, everything: Path, target: Path) -> None:
    """The network trained on everything with the threshold and scores that the held-out one had."""
    first, chosen, final = (load_checkpoint(path) for path in (voxels, held_out, everything))
    record = {
        "trained_on": "all annotation of " + ", ".join(FILES),
        "chosen_on": f"sections {HELD_OUT} of {FILES[0]} by a network that had not seen them",
        "held_out_scores": chosen.record["held_out_scores"],
        "steps": [checkpoint.record["step"] for checkpoint in (first, chosen, final)],
    }
    target.parent.mkdir(exist_ok=True)
    bundled = dataclasses.replace(final, threshold=chosen.threshold, score=chosen.score, record=record)
    save_checkpoint(target, bundled, half=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
