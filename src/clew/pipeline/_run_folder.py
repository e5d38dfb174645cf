"""The folder of a training run beside its checkpoint.

It holds options, log, state and pictures; each file is whole or not there.
"""

import contextlib
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from clew.documents import brief, expect, parse_json, regular_file
from clew.errors import InputError
from clew.evaluation.scores import Scores
from clew.lock import locked
from clew.network.checkpoint import read_whole, save_whole
from clew.pipeline._declare import Record
from clew.pipeline._identity import changed_inputs, changed_parameters, paths_in
from clew.pipeline._progress import say
from clew.replace import written_beside
from clew.space import Box
from clew.training.trainer import Example, StepReport, Trainer
from clew.training.validation import HeldOut, Validation

MADE = ("config.json", "log.csv", "log.png", "state.pt", "not-finite-step-*.npz", "snapshots/step-*.png",
        "validations/step-*.png", "tensorboard/events.out.tfevents.*")  # fmt: skip
"""All files that a training writes: only these are removed when it starts anew."""
LOG_COLUMNS = (*StepReport._fields, "voi_split", "voi_merge", "voi_sum", "adapted_rand_error", "threshold", "part")


class RunFolder:
    """The folder of one training run.

    `config.json`, `log.csv`, `log.png`, `state.pt`, `snapshots`, `validations`, and on request `tensorboard`.

    Nothing is written before `begin`.
    """

    def __init__(self, checkpoint: Path, record: Record, *, overwrite: bool, tensorboard: bool) -> None:
        self.folder = training_folder(checkpoint)
        self.config: dict[str, Any] = json.loads(json.dumps(record, default=str))
        self.overwrite = overwrite
        self.tensorboard = _tensorboard() if tensorboard else None
        self.board: Any = None
        if checkpoint.exists() and not self.folder.exists() and not overwrite:
            raise InputError(f"{checkpoint} exists already: choose another name or give --overwrite")
        self._check_config()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, and keep other trainings out of it as long as the block lasts."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder} cannot be made: {error.strerror}") from error
        with locked(self.folder / "lock.json", say):
            yield

    def begin(self) -> dict[str, Any] | None:
        """Start in the folder that is held, anew with `overwrite`.

        Returns the state that was saved in it.
        """
        self._check_config()
        if self.overwrite and (self.folder / "config.json").exists():
            self._discard()
        with written_beside(self.folder / "config.json", overwrite=True) as partial:
            partial.write_text(json.dumps(self.config, indent=1) + "\n")
        state = self._read_state()
        step = state["step"] if state else 0
        self._forget_after(step)
        if self.tensorboard is not None:
            self.board = self.tensorboard(str(self.folder / "tensorboard"), purge_step=step + 1)
        return state

    def _read_state(self) -> dict[str, Any] | None:
        path = self.folder / "state.pt"
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = read_whole(path)
            int(state["step"])
        except Exception as error:
            raise self.unusable_state(error) from error
        return state

    def unusable_state(self, error: Exception) -> InputError:
        """The message where the saved state cannot be read.

        It is also the message for the state of another training.
        """
        return InputError(
            f"{self.folder / 'state.pt'} is damaged ({type(error).__name__}), so that this training cannot go on; "
            "train under another name, or move this file away to begin again at step 0"
        )

    def save(self, trainer: Trainer) -> None:
        """Save the state and plot the log."""
        with written_beside(self.folder / "state.pt", overwrite=True) as partial, partial.open("wb") as file:
            save_whole(trainer.state(), file)
        self._show()

    def log(self, report: StepReport) -> None:
        """Append what a step did to the log."""
        self._append(report._asdict())

    def log_validation(self, step: int, found: Validation) -> None:
        """Append the held-out scores of a step to the log, as a row of their own.

        Before the mean of several parts stands a row of each, with its number.
        """
        scores = found.scores
        parts = list(enumerate(found.parts, 1)) if len(found.parts) > 1 else []
        self._append(
            *(_held_out_row(step, found.threshold, each) | {"part": part} for part, each in parts),
            _held_out_row(step, found.threshold, scores),
        )
        self._show()
        say(f"step {step}: held-out VOI {scores.voi_sum:.4f} (split {scores.voi_split:.4f}, merge {scores.voi_merge:.4f}), "
            f"adapted Rand {scores.adapted_rand_error:.4f} at {found.threshold:.2f}")  # fmt: skip

    def best(self) -> float:
        """The smallest held-out VOI so far."""
        return min((row["voi_sum"] for row in self._rows() if _is_held_out(row)), default=np.inf)

    def validated(self, step: int) -> bool:
        """Whether the held-out scores of a step are in the log."""
        return any(row["step"] == step and _is_held_out(row) for row in self._rows())

    def draw_validation(self, step: int, part: HeldOut, found: Validation) -> None:
        """Draw the first held-out part with its segmentation and truth."""
        from clew.view.figures import save_figure, section_figure

        box = Box(*part.box)
        labels = part.labels[box]
        annotated = np.flatnonzero(labels.any(axis=(1, 2)))
        z = int(annotated[len(annotated) // 2])
        figure = section_figure(
            part.raw[box], found.segmentation, labels, voxel_size=part.voxel_size,
            position=(z, labels.shape[1] // 2, labels.shape[2] // 2),
            title=f"step {step}: image, segmentation at {found.threshold:.2f}, truth; VOI sum {found.parts[0].voi_sum:.3f}",
        )  # fmt: skip
        save_figure(figure, self.folder / "validations" / f"step-{step:06}.png")

    def draw(self, step: int, example: Example) -> None:
        """Draw a snapshot of a crop after a step."""
        from clew.view.figures import save_figure
        from clew.view.snapshots import snapshot_figure

        figure = snapshot_figure(
            example.raw, example.labels, example.targets, example.affinities, example.positive, example.negative,
            title=f"step {step}",
        )  # fmt: skip
        save_figure(figure, self.folder / "snapshots" / f"step-{step:06}.png")

    def keep(self, example: Example) -> Path:
        """Save the crop at which training diverged as an .npz file.

        What the network made of it is saved, too.
        """
        path = self.folder / f"not-finite-step-{example.step + 1:06}.npz"
        with written_beside(path, overwrite=True) as partial, partial.open("wb") as file:
            np.savez_compressed(file, seed=self.config["parameters"]["seed"], **example._asdict())
        return path

    def _discard(self) -> None:
        """Remove what an earlier training made, and nothing else.

        The file that says that it was a training goes last.
        """
        for pattern in reversed(MADE):
            for path in self.folder.glob(pattern):
                path.unlink()

    def _check_config(self) -> None:
        """Refuse to go on with other options than those of the training in the folder.

        Starting among files that no training made is refused, too.
        """
        path = self.folder / "config.json"
        foreign = [] if path.exists() else [found for pattern in MADE for found in self.folder.glob(pattern)]
        if foreign:
            raise InputError(f"{foreign[0]} exists, but no training made it: choose another name, or move it away")
        if self.overwrite or not path.exists():
            return
        recorded = parse_json(regular_file(path).read_bytes(), str(path))
        expect(recorded, "parameters", "an object", str(path))
        changed = changed_parameters(recorded, self.config, places=("checkpoint",))
        if changed:
            raise InputError(
                f"the run in {self.folder} had another configuration: {'; '.join(changed)}; "
                "give the same one to continue, or --overwrite to start anew"
            )
        for name in changed_inputs(recorded, self.config):
            paths = ", ".join(paths_in(self.config["parameters"][name]))
            raise InputError(
                f"the run in {self.folder} used another {name} than {paths} is now: restore it to continue, "
                "or train under another name"
            )

    def _append(self, *rows: dict[str, Any]) -> None:
        with (self.folder / "log.csv").open("a", newline="") as file:
            writer = csv.DictWriter(file, LOG_COLUMNS, restval="")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerows(rows)
        if self.board is not None:
            for name in rows[-1].keys() - {"step"}:
                self.board.add_scalar(name, rows[-1][name], rows[-1]["step"])

    def _forget_after(self, step: int) -> None:
        """Remove the rows of steps that were taken after the state was saved.

        They are taken again.
        """
        path = self.folder / "log.csv"
        if not path.exists():
            return
        kept = [{**row, "step": int(row["step"])} for row in self._rows() if row["step"] <= step]
        with written_beside(path, overwrite=True) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, LOG_COLUMNS, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)

    def _rows(self) -> list[dict[str, float]]:
        """The rows of the log, but for a last one that a full disk cut off."""
        path = self.folder / "log.csv"
        if not path.exists():
            return []
        lines = regular_file(path).read_text(errors="replace").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        try:
            return [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(whole)]
        except (ValueError, TypeError, csv.Error) as error:
            raise InputError(f"{path} is damaged ({brief(error)}): mend that line, or move the file away") from error

    def _show(self) -> None:
        """Plot the log, and let TensorBoard have what there is."""
        from clew.view.figures import save_figure, training_figure

        rows = [{**row, "iteration": row["step"]} for row in self._rows() if "part" not in row]
        if rows:
            save_figure(training_figure(rows), self.folder / "log.png")
        if self.board is not None:
            self.board.flush()


def _held_out_row(step: int, threshold: float, scores: Scores) -> dict[str, Any]:
    values = {name: getattr(scores, name) for name in LOG_COLUMNS if hasattr(scores, name)}
    return {"step": step, "threshold": threshold, **values}


def _is_held_out(row: dict[str, float]) -> bool:
    """Whether a row of the log holds the scores by which a network is chosen."""
    return "voi_sum" in row and "part" not in row


def training_folder(checkpoint: Path) -> Path:
    """The folder beside a checkpoint."""
    return checkpoint.with_suffix(".training")


def _tensorboard() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise InputError("--tensorboard needs the package tensorboardX: pip install 'clew[tensorboard]'") from error
    return SummaryWriter
