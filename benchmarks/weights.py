"""Make the bundled network anew: `make weights DATA=FOLDER` (about two hours on two cores).

1. Train without sections 120 to 150 of the sample and the checkpoint, and its threshold, by the segmentation of these.
2. Go on from there on all annotation, and keep threshold and held-out scores of step 1 in the record.
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
FIRST = {"steps": 2300, "malis_after": 1800, "learning_rate": 1.2e-3, "validate_every": 230}
SECOND = {"steps": 1350, "malis_after": 0, "learning_rate": 4e-4, "warmup": 50, "validate_every": 450}


def main(folder: Path, work: Path = Path("runs/weights"), name: str = BUNDLED) -> None:
    """Train both steps in `work` and write the bundled checkpoint."""
    data = [str(folder / file) for file in FILES]
    work.mkdir(parents=True, exist_ok=True)
    held_out, everything = work / "held-out.pt", work / "everything.pt"
    pipeline.train(str(held_out), data=data, held_out=HELD_OUT, **FIRST)
    pipeline.train(str(everything), data=data, initial=str(held_out), **SECOND)
    bundle(held_out, everything, WEIGHTS / f"{name}.pt")


def bundle(held_out: Path, everything: Path, target: Path) -> None:
    """The network trained on everything with the threshold and scores that the held-out one had."""
    chosen, final = load_checkpoint(held_out), load_checkpoint(everything)
    record = {
        "trained_on": "all annotation of " + ", ".join(FILES),
        "chosen_on": f"sections {HELD_OUT} of {FILES[0]} by a network that had not seen them",
        "held_out_scores": chosen.record["held_out_scores"],
        "steps": [chosen.record["step"], final.record["step"]],
    }
    target.parent.mkdir(exist_ok=True)
    bundled = dataclasses.replace(final, threshold=chosen.threshold, score=chosen.score, record=record)
    save_checkpoint(target, bundled, half=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
