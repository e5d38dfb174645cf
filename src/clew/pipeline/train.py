"""`clew train`: annotated volumes → the checkpoint that segments best.

It segments the held-out part; log and state lie beside it.
"""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Gt

from clew.errors import InputError
from clew.network.bundled import open_checkpoint
from clew.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from clew.network.device import resolve_device
from clew.network.options import PRESETS, Device, Precision, PredictionOptions, UNetOptions
from clew.network.unet import UNet, seed_weights, with_descriptors
from clew.pipeline._annotated import AnnotatedVolume, read_annotated
from clew.pipeline._declare import Record, stage
from clew.pipeline._options import Input, VoxelSize
from clew.pipeline._progress import say, stepping, warn
from clew.pipeline._protection import refuse_overlap
from clew.pipeline._run_folder import RunFolder, training_folder
from clew.planning.annotation import annotated_pairs
from clew.segmentation.agglomeration import parse_score
from clew.segmentation.options import AgglomerationOptions, FragmentOptions
from clew.signals import Interruption
from clew.space import NEAREST_OFFSETS, Box, Lengths, Triple
from clew.training.launching import run_in_processes
from clew.training.memory import memory_explained
from clew.training.options import AugmentationOptions, TrainingOptions
from clew.training.processes import Processes, joined
from clew.training.sampling import TrainingVolume
from clew.training.trainer import NotFiniteError, Trainer
from clew.training.validation import HeldOut, Validation, validate_parts
from clew.volumes.place import same_size


@dataclass(frozen=True)
class Judge:
    """Validates networks and keeps the best one as the checkpoint.

    Without a held-out part it keeps the last one.
    """

    checkpoint: Path
    voxel_size: Lengths
    held_out: list[HeldOut]
    score: str
    half: bool
    record: Record

    def validate(self, trainer: Trainer, run: RunFolder) -> None:
        """Segment the held-out parts, and keep the network if it is the best so far."""
        network = trainer.averaged_network
        found = None
        if self.held_out:
            found = validate_parts(
                network, self.held_out,
                prediction_options=PredictionOptions(precision=trainer.precision, runtime="torch").on(trainer.device),
                fragment_options=FragmentOptions(per_section=trainer.options.per_section),
                agglomeration_options=AgglomerationOptions(score=self.score),
                surroundings=trainer.options.validation_surroundings,
            )  # fmt: skip
        if found is None or found.scores.voi_sum < run.best():
            save_checkpoint(self.checkpoint, self._checkpoint(network, trainer.step, found), half=self.half)
        if found is not None:
            run.log_validation(trainer.step, found)
            run.draw_validation(trainer.step, self.held_out[0], found)

    def has_judged(self, step: int, run: RunFolder) -> bool:
        """Tell whether the step was validated.

        Without a held-out part, whether the checkpoint is that of the step.
        """
        if self.held_out:
            return run.validated(step)
        return self.checkpoint.exists() and load_checkpoint(self.checkpoint).record.get("step") == step

    def _checkpoint(self, network: UNet, step: int, found: Validation | None) -> Checkpoint:
        details: dict[str, Any] = {**json.loads(json.dumps(self.record, default=str)), "step": step}
        if found is None:
            return Checkpoint(network, self.voxel_size, record=details)
        details["held_out_scores"] = found.scores.__dict__
        if len(found.parts) > 1:
            details["held_out_parts"] = [scores.__dict__ for scores in found.parts]
        return Checkpoint(network, self.voxel_size, found.threshold, self.score, details)


@dataclass(frozen=True)
class Start:
    """The network to begin with.

    Parameters
    ----------
    preset
        Architecture.
    offsets
        Voxel offsets z,y,x of the affinities, as "-1,0,0;0,-1,0;0,0,-1;-4,0,0", instead of those of the preset; the three
        nearest neighbours come first.
    initial
        Checkpoint whose weights to start from; architecture and offsets are then those of the checkpoint.
    """

    preset: Literal[tuple(PRESETS)] = "small"  # type: ignore[valid-type]
    offsets: list[Triple] | None = None
    initial: Input | None = None


@dataclass(frozen=True)
class Conduct:
    """Where a training is done, and what it leaves.

    Parameters
    ----------
    device
        cpu, cuda, or what is there.
    precision
        Arithmetic of the network; auto is bfloat16 on GPUs and CPUs with matrix units for it, else float32.
    tensorboard
        Log for TensorBoard, too (pip install clew[tensorboard]).
    half
        Store the weights in 16 bits.
    overwrite
        Start anew, replacing an existing run and its checkpoint.
    """

    device: Device = PredictionOptions.device
    precision: Precision = PredictionOptions.precision
    tensorboard: bool = False
    half: bool = False
    overwrite: bool = False


class Settings(NamedTuple):
    """Everything that decides a training, except its data."""

    held_out: str | None
    score: str
    start: Start
    conduct: Conduct
    options: TrainingOptions
    augmentation: AugmentationOptions


@stage
def train(
    checkpoint: str,
    *,
    data: list[Input],
    voxel_size: VoxelSize,
    held_out: str | None = None,
    start: Start,
    score: str = AgglomerationOptions.score,
    processes: Annotated[int, Gt(0)] = 1,
    training_options: TrainingOptions,
    augmentation_options: AugmentationOptions,
    conduct: Conduct,
    record: Record,
) -> None:
    """Train a network on annotated volumes, or continue an interrupted training.

    Parameters
    ----------
    checkpoint
        Output; log, state and snapshots go to a folder beside it.
    data
        Annotated volumes: a CREMI-style HDF5 file (volumes/raw, volumes/labels/neuron_ids, volumes/labels/mask), or
        RAW,LABELS or RAW,LABELS,MASK; give several by repeating the option.
    held_out
        Part of the first volume (z0:z1,y0:y1,x0:x1) that is not trained on; the checkpoint is chosen by the
        segmentation of this part. Several are joined by ";", and 2/z0:z1,y0:y1,x0:x1 is one of the second volume: the mean
        over the parts chooses. 2/:,:,: holds out the whole second volume.
    score
        Agglomeration score of the validation, as for agglomerate; the threshold in the checkpoint belongs to it.
    processes
        Processes on this machine, each with a GPU of its own or a part of the cores: the batch is so many times larger.
        torchrun starts them on several machines.
    """
    settings = Settings(held_out, score, start, conduct, training_options, augmentation_options)
    run_in_processes(processes, partial(_train, Path(checkpoint), data, voxel_size.voxel_size, settings, record))


def _train(checkpoint: Path, data: list[str], voxel_size: Lengths | None, settings: Settings, record: Record) -> None:
    """Train, or continue an interrupted run, and write the best checkpoint.

    The run must have the same configuration.

    As one of several processes: join them, take the steps with them, and write only as the first.
    """
    conduct = settings.conduct
    parse_score(settings.score)
    refuse_overlap([*data, settings.start.initial], [str(checkpoint), str(training_folder(checkpoint))])
    with joined(resolve_device(conduct.device)) as (processes, own_device):
        run = None
        if processes.first:
            run = RunFolder(checkpoint, record, overwrite=conduct.overwrite, tensorboard=conduct.tensorboard)
        read = _read_volumes(data, voxel_size)
        held_out = _held_out(settings.held_out, read)
        trainer = _make_trainer(_without(read, held_out), read[0].voxel_size, settings, own_device, processes)
        trainer.sampler.draw(0)  # data without a usable crop are refused before the folder is made
        with run.held() if run else nullcontext():
            _go_on(trainer, run)
            interruption = Interruption(trainer.stop)
            with interruption.listening(), memory_explained(settings.options, trainer.network.options.factor):
                if run is None:
                    for _ in trainer:
                        pass
                else:
                    border = settings.options.validation_border
                    parts = [part._replace(voxel_size=read[0].voxel_size, border=border) for part, _ in held_out]
                    judge = Judge(checkpoint, read[0].voxel_size, parts, settings.score, conduct.half, record)
                    _lead(trainer, run, judge, interruption)
        if trainer.stopped:
            raise interruption.error


def _make_trainer(
    volumes: list[TrainingVolume], voxel_size: Lengths, settings: Settings, device: str, processes: Processes
) -> Trainer:
    start, options = settings.start, settings.options
    seed_weights(options.seed)
    network = (
        open_checkpoint(start.initial).network if start.initial else UNet(architecture(start.preset, start.offsets))
    )
    network = with_descriptors(network) if options.descriptor_weight else network
    return Trainer(
        network, volumes, options, settings.augmentation, voxel_size=voxel_size, device=device,
        precision=settings.conduct.precision, processes=processes,
    )  # fmt: skip


def _go_on(trainer: Trainer, run: RunFolder | None) -> None:
    """Let all processes go on where the run in the folder stopped, if there is one."""
    state = trainer.processes.share(run.begin() if run else None)
    try:
        if state is not None:
            trainer.load_state(state)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        if run is None:
            raise
        raise run.unusable_state(error) from error


def _lead(trainer: Trainer, run: RunFolder, judge: Judge, interruption: Interruption) -> None:
    """Take the steps, as the process that writes and validates."""
    options = trainer.options

    def is_due(step: int) -> bool:
        return step > 0 and (step % options.validate_every == 0 or step == options.steps)

    try:
        if trainer.step:
            say(f"continuing after step {trainer.step}")
        if is_due(trainer.step) and not judge.has_judged(trainer.step, run):
            judge.validate(trainer, run)
        with stepping(trainer.step, options.steps) as show:
            for report in trainer:
                run.log(report)
                show(report.step, report.loss)
                if options.snapshot_every and report.step % options.snapshot_every == 0:
                    run.draw(report.step, trainer.example())
                if is_due(report.step) or trainer.stopped:
                    run.save(trainer)
                if is_due(report.step):
                    with interruption.at_once():
                        judge.validate(trainer, run)
    except NotFiniteError as error:
        raise InputError(f"{error}, saved in {run.keep(error.example)}") from error
    except KeyboardInterrupt:
        trainer.stopped = True
    if trainer.stopped:
        say(f"interrupted after step {trainer.step}; the same command continues")


def architecture(preset: str, offsets: list[Triple] | None) -> UNetOptions:
    """A preset, with other offsets where they are given."""
    if offsets is None:
        return PRESETS[preset]
    if tuple(offsets[:3]) != NEAREST_OFFSETS or len(set(offsets)) < len(offsets):
        raise InputError(f"offsets must begin with {NEAREST_OFFSETS} and name each offset once, not {offsets}")
    return replace(PRESETS[preset], offsets=tuple(offsets))


def _read_volumes(data: list[str], voxel_size: Lengths | None) -> list[AnnotatedVolume]:
    if not data:
        raise InputError("training needs at least one annotated volume: give --data")
    read = [read_annotated(item, voxel_size) for item in data]
    sizes = [each.voxel_size for each in read]
    if not all(same_size(sizes[0], size) for size in sizes):
        raise InputError(f"all training volumes must have one voxel size, not {sorted(set(sizes))} nm")
    if not any(_has_borders(each.volume) for each in read):
        raise InputError("no training volume holds two neurons: with one label only there is no border to learn; annotate "
                         "more, or look with clew plan")  # fmt: skip
    pairs = sum(annotated_pairs(each.volume.mask)[0] for each in read)
    if not pairs:
        warn("no two annotated sections are neighbours, so that affinities along z are never trained; see clew plan")
    return read


def _has_borders(volume: TrainingVolume) -> bool:
    """Tell whether there are at least two annotated neurons."""
    ids = volume.labels[volume.mask]
    ids = ids[ids > 0]
    return bool(ids.size and (ids != ids[0]).any())


def _held_out(text: str | None, read: Sequence[AnnotatedVolume]) -> list[tuple[HeldOut, int]]:
    """The held-out parts, and the index of the volume of each.

    Boxes are in voxels of the raw files.
    """
    return [_part(each.strip(), read) for each in text.split(";")] if text is not None else []


def _part(text: str, read: Sequence[AnnotatedVolume]) -> tuple[HeldOut, int]:
    number, slash, box_text = text.rpartition("/")
    if not box_text:
        raise InputError("a held-out part is a box, z0:z1,y0:y1,x0:x1, and several are joined by ;, but one is empty")
    if slash and not (number.isdecimal() and 1 <= int(number) <= len(read)):
        raise InputError(
            f"the held-out part {text} is of no volume: wanted a number from 1 to {len(read)} before the /"
        )
    index = int(number) - 1 if slash else 0
    raw, labels, mask = read[index].volume
    whole = Box.whole(raw.shape).shifted(read[index].origin)
    box = Box.parse(box_text, whole.high).overlap(whole).within(whole)
    if not box.size or not (labels[box] * mask[box]).any():
        raise InputError(f"the held-out part {text} holds no annotated neuron; choose a box where there is annotation")
    return HeldOut(raw, labels, box), index


def _without(read: Sequence[AnnotatedVolume], held_out: Sequence[tuple[HeldOut, int]]) -> list[TrainingVolume]:
    """The volumes without what is held out; one of which nothing is left is left out."""
    masks = [each.volume.mask.copy() if held_out else each.volume.mask for each in read]
    for part, index in held_out:
        masks[index][Box(*part.box)] = False
    left = [each.volume._replace(mask=mask) for each, mask in zip(read, masks, strict=True) if mask.any()]
    if not left:
        raise InputError("the held-out part holds all annotation; nothing is left to train on")
    return left
