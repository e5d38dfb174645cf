"""A training run on disk: data in, log and state beside the checkpoint, the best checkpoint by held-out segmentation."""

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clew.errors import InputError
from clew.network.bundled import open_checkpoint
from clew.network.checkpoint import Checkpoint, save_checkpoint
from clew.network.options import NEAREST_OFFSETS, PRESETS, Triple, UNetOptions
from clew.network.precision import Precision
from clew.network.prediction import resolve_device
from clew.network.unet import UNet, with_descriptors
from clew.segmentation.agglomeration_options import AgglomerationOptions
from clew.stages.boxes import Box, parse_box
from clew.stages.declaration import Record
from clew.stages.files import as_ids
from clew.stages.progress import say
from clew.training.options import AugmentationOptions, TrainingOptions
from clew.training.sampling import TrainingVolume
from clew.training.trainer import StepReport, Trainer
from clew.training.validation import Validation, validate
from clew.volumes.open import list_datasets, open_volume

CREMI_LAYOUT = ("volumes/raw", "volumes/labels/neuron_ids", "volumes/labels/mask")
LOG_COLUMNS = (*StepReport._fields, "voi_split", "voi_merge", "voi_sum", "adapted_rand_error", "threshold")


def run_training(
    checkpoint: Path,
    data: list[str],
    *,
    held_out: str | None,
    preset: str,
    offsets: list[Triple] | None,
    initial: str | None,
    device: str,
    precision: Precision,
    options: TrainingOptions,
    augmentation: AugmentationOptions,
    half: bool,
    overwrite: bool,
    record: Record,
) -> None:
    """Train, continue where an interrupted run of the same configuration stopped, and write the best checkpoint."""
    run = RunFolder(checkpoint, record, overwrite)
    volumes, voxel_size = _read_volumes(data)
    box = None if held_out is None else parse_box(held_out, volumes[0].raw.shape)
    truth = volumes[0].labels
    if box is not None:
        volumes[0] = _without(volumes[0], box)
    torch.manual_seed(options.seed)
    network = open_checkpoint(initial).network if initial else UNet(architecture(preset, offsets))
    network = with_descriptors(network) if options.descriptor_weight else network
    trainer = Trainer(
        network,
        volumes,
        options,
        augmentation,
        voxel_size=voxel_size,
        device=resolve_device(device),
        precision=precision,
    )
    run.resume(trainer)
    best: float = run.best()
    try:
        for report in trainer:
            due = report.step % options.validate_every == 0 or report.step == options.steps
            if not due:
                run.log(report)
                continue
            found = None if box is None else validate(trainer.averaged_network, volumes[0].raw, truth, box)
            run.log(report, found)
            if found is None or found.scores.voi_sum < best:
                best = np.inf if found is None else found.scores.voi_sum
                save_checkpoint(checkpoint, _checkpoint(trainer, voxel_size, found, record), half=half)
            run.save(trainer)
    except KeyboardInterrupt:
        run.save(trainer)
        say(f"interrupted after step {trainer.step}; the same command continues")
        raise


class RunFolder:
    """The folder beside a checkpoint: `config.json`, `log.csv`, `state.pt`, `log.png`."""

    def __init__(self, checkpoint: Path, record: Record, overwrite: bool) -> None:
        self.folder = checkpoint.with_suffix(".training")
        config = json.loads(json.dumps(record, default=str))
        if overwrite and self.folder.exists():
            shutil.rmtree(self.folder)
        elif checkpoint.exists() and not self.folder.exists():
            raise InputError(f"{checkpoint} exists already: choose another name or give --overwrite")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder} cannot be made: {error.strerror}") from error
        self._check_config(config)

    def _check_config(self, config: dict[str, Any]) -> None:
        path = self.folder / "config.json"
        if path.exists():
            before, now = json.loads(path.read_text())["parameters"], config["parameters"]
            changed = [
                f"{name} was {before.get(name)}, is {now.get(name)}" for name in now if before.get(name) != now[name]
            ]
            if changed:
                raise InputError(
                    f"the run in {self.folder} had another configuration: {'; '.join(changed)}; "
                    "give the same one to continue, or --overwrite to start anew"
                )
        path.write_text(json.dumps(config, indent=1) + "\n")

    def resume(self, trainer: Trainer) -> None:
        """Continue from the saved state, if there is one."""
        path = self.folder / "state.pt"
        if path.exists():
            trainer.load_state(torch.load(path, map_location=trainer.device, weights_only=True))
            say(f"continuing after step {trainer.step}")

    def save(self, trainer: Trainer) -> None:
        """Save the state, whole or not at all, and plot the log."""
        partial = self.folder / "state.partial"
        torch.save(trainer.state(), partial)
        os.replace(partial, self.folder / "state.pt")
        self._plot()

    def best(self) -> float:
        """The smallest held-out VOI so far."""
        return min((row["voi_sum"] for row in self._rows() if row.get("voi_sum") is not None), default=np.inf)

    def log(self, report: StepReport, found: Validation | None = None) -> None:
        """Append a line to the log; say something now and then."""
        path = self.folder / "log.csv"
        values: dict[str, Any] = report._asdict()
        if found is not None:
            scores = found.scores
            values |= {name: getattr(scores, name) for name in LOG_COLUMNS if hasattr(scores, name)}
            values["threshold"] = found.threshold
            say(f"step {report.step}: held-out VOI {scores.voi_sum:.4f} (split {scores.voi_split:.4f}, merge "
                f"{scores.voi_merge:.4f}), adapted Rand {scores.adapted_rand_error:.4f} at {found.threshold:.2f}")  # fmt: skip
        elif report.step % 50 == 0:
            say(f"step {report.step}: loss {report.loss:.4f}, {report.seconds:.2f} s/step")
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, LOG_COLUMNS, restval="")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(values)

    def _rows(self) -> list[dict[str, float]]:
        path = self.folder / "log.csv"
        if not path.exists():
            return []
        with path.open(newline="") as file:
            return [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]

    def _plot(self) -> None:
        from clew.view.figures import save_figure, training_figure

        rows = [{**row, "iteration": row["step"]} for row in self._rows()]
        if rows:
            save_figure(training_figure(rows), self.folder / "log.png")


def read_training_volume(item: str) -> tuple[TrainingVolume, tuple[float, float, float]]:
    """A volume from `FILE.h5` in CREMI layout, or `RAW,LABELS[,MASK]`; voxels without a mask file are all annotated."""
    paths = paths_of(item)
    raw, labels = open_volume(paths[0]), open_volume(paths[1])
    values: NDArray[Any] = raw.read()
    if values.dtype != np.uint8:
        raise InputError(f"{paths[0]} must be uint8, not {values.dtype}; convert it with clew convert --dtype uint8")
    ids = as_ids(labels.read(), paths[1])
    mask = np.ones(ids.shape, bool) if len(paths) == 2 else open_volume(paths[2]).read() > 0
    if not values.shape == ids.shape == mask.shape:
        raise InputError(
            f"{item}: raw, labels and mask must have one shape, not {values.shape}, {ids.shape}, {mask.shape}"
        )
    if not (ids * mask).any():
        raise InputError(f"{item} has no annotated neuron: all labels inside the mask are 0")
    return TrainingVolume(values, ids, mask), raw.voxel_size


def paths_of(item: str) -> list[str]:
    """The paths of raw, labels and, if there is one, mask: `FILE.h5` in CREMI layout, or `RAW,LABELS[,MASK]`."""
    paths = item.split(",")
    if len(paths) == 1:
        present = {row.name for row in list_datasets(item)}
        paths = [f"{item}:{name}" for name in CREMI_LAYOUT[:2]]
        paths += [f"{item}:{CREMI_LAYOUT[2]}"] if CREMI_LAYOUT[2] in present else []
    if len(paths) > 3:
        raise InputError(f"training data are FILE.h5, RAW,LABELS or RAW,LABELS,MASK, not {item!r}")
    return paths


def architecture(preset: str, offsets: list[Triple] | None) -> UNetOptions:
    """A preset, with other offsets if there are any."""
    if offsets is None:
        return PRESETS[preset]
    if tuple(offsets[:3]) != NEAREST_OFFSETS or len(set(offsets)) < len(offsets):
        raise InputError(f"offsets must begin with {NEAREST_OFFSETS} and name each offset once, not {offsets}")
    return replace(PRESETS[preset], offsets=tuple(offsets))


def _read_volumes(data: list[str]) -> tuple[list[TrainingVolume], tuple[float, float, float]]:
    if not data:
        raise InputError("training needs at least one annotated volume: give --data")
    read = [read_training_volume(item) for item in data]
    sizes = {voxel_size for _, voxel_size in read}
    if len(sizes) > 1:
        raise InputError(f"all training volumes must have one voxel size, not {sorted(sizes)} nm")
    return [volume for volume, _ in read], sizes.pop()


def _without(volume: TrainingVolume, box: Box) -> TrainingVolume:
    mask = volume.mask.copy()
    mask[box] = False
    if not mask.any():
        raise InputError("the held-out part holds all annotation; nothing is left to train on")
    return TrainingVolume(volume.raw, volume.labels, mask)


def _checkpoint(
    trainer: Trainer, voxel_size: tuple[float, float, float], found: Validation | None, record: Record
) -> Checkpoint:
    details: dict[str, Any] = {**json.loads(json.dumps(record, default=str)), "step": trainer.step}
    if found is None:
        return Checkpoint(trainer.averaged_network, voxel_size, record=details)
    details["held_out_scores"] = found.scores.__dict__
    return Checkpoint(trainer.averaged_network, voxel_size, found.threshold, AgglomerationOptions().score, details)
