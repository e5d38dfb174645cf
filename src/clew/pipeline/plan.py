"""`clew plan`: annotated volumes → findings, and a run file for training.

The file gives a reason for each choice.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from clew.errors import InputError
from clew.memory import whole_memory
from clew.network.device import find_gpu, resolve_device
from clew.network.options import Device, PredictionOptions
from clew.network.precision import has_bfloat16_units
from clew.network.unet import UNet
from clew.pipeline._annotated import paths_of
from clew.pipeline._declare import stage
from clew.pipeline._examined import examine_volume, say_volume
from clew.pipeline._options import Output, VoxelSize
from clew.pipeline._progress import say
from clew.pipeline._protection import refuse_overlap
from clew.pipeline.train import architecture
from clew.planning.choices import (
    GIGABYTE,
    USUAL_EDGE,
    Choice,
    MachineFacts,
    Plan,
    Step,
    Timing,
    VolumeFacts,
    choose_offsets,
    choose_preset,
    make_plan,
    usual_crop,
)
from clew.planning.examination import Examined
from clew.planning.recipes import DATA_SETS, check_voxels, plan_data_set
from clew.ranges import Positive
from clew.replace import refuse_existing, written_beside
from clew.space import Lengths
from clew.training.options import AugmentationOptions, TrainingOptions
from clew.training.sampling import TrainingVolume
from clew.training.timing import time_steps
from clew.volumes.place import same_size

STEADY = 1.5
"""Spread of the timed steps from which the hours are called a guess."""
BUSY = 0.6
"""Below this share of the cores for the timed steps, other jobs are taken to slow them."""


@stage
def plan(
    data: list[str],
    *,
    output: str = "plan.toml",
    hours: Positive = 8.0,
    voxel_size: VoxelSize,
    device: Device = PredictionOptions.device,
    timing: bool = True,
    data_set: Literal["cremi", "fib-25", "segem", "snemi3d"] | None = None,
    strict: bool = False,
    replacing: Output,
) -> None:
    """Check annotated volumes, and write a run file for training on this machine.

    Parameters
    ----------
    data
        Annotated volumes, as for train: FILE.h5 in the layout of CREMI, or RAW,LABELS or RAW,LABELS,MASK.
    output
        The run file to write, with a comment for each choice; for clew run, and clew train --config.
    hours
        Hours that training may take.
    device
        Where training will run: cpu, cuda, or what is there.
    timing
        Take a few steps to know how long they last here.
    data_set
        A data set of the paper: its network, loss, augmentation, fragments and scores are taken as the paper has them
        (SNEMI3D has none there). Such a plan is for a GPU, and is not timed.
    strict
        Stop with exit code 2, and write nothing, where the annotation has serious errors.
    """
    file = Path(output)
    refuse_overlap(data, [output])
    refuse_existing(file, replacing.overwrite)
    seen = {item: examine_volume(item, voxel_size.voxel_size) for item in data}
    for item, examined in seen.items():
        say_volume(item, examined)
    serious = sum(finding.serious for examined in seen.values() for finding in examined.findings)
    several = "s" if serious > 1 else ""
    if strict and serious:
        raise InputError(f"{serious} serious finding{several} in the annotation, listed above; no plan was written")
    usable = _usable(seen)
    volumes = [facts for facts, _ in usable.values()]
    machine = machine_facts(device, file)
    checkpoint = f"{file.stem}.pt"
    measured = None
    if data_set is not None:
        check_voxels(data_set, volumes[0].voxel_size)
    if data_set is not None and DATA_SETS[data_set].preset is not None:
        made = plan_data_set(data_set, volumes, machine, checkpoint=checkpoint)
    else:
        measured = time_training(*next(iter(usable.values())), machine) if timing else None
        made = make_plan(volumes, machine, hours=hours, timing=measured, checkpoint=checkpoint)
    write_run_file(file, made, list(usable), voxel_size.voxel_size)
    for line in cost_lines(made, machine, measured):
        say(line)
    if serious:
        say(f"{serious} serious finding{several} above: mend {'them' if several else 'it'} first")


def _usable(seen: dict[str, Examined]) -> dict[str, tuple[VolumeFacts, TrainingVolume]]:
    """The volumes that can be trained on, the one with most annotation first."""
    found = {item: (each.facts, each.volume) for item, each in seen.items() if each.facts and each.volume}
    if not found:
        raise InputError("none of the volumes can be trained on, for the reasons listed above; no plan was written")
    first, *others = (facts.voxel_size for facts, _ in found.values())
    if not all(same_size(first, other) for other in others):
        raise InputError("all volumes of a training must have one voxel size; plan those of each size separately")
    return dict(sorted(found.items(), key=lambda pair: -pair[1][0].annotated))


def machine_facts(device: str, plan: Path) -> MachineFacts:
    """Find out what this machine has."""
    chosen = resolve_device(device)
    name, memory = find_gpu(chosen) or (None, 0)
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    disk = shutil.disk_usage(plan.absolute().parent).free
    return MachineFacts(cores, whole_memory(), name, memory, has_bfloat16_units(chosen), disk)


def time_training(facts: VolumeFacts, volume: TrainingVolume, machine: MachineFacts) -> Timing:
    """Time a few training steps on a central part of the annotation."""
    preset = choose_preset(facts.voxel_size)
    crop = usual_crop(facts.voxel_size, [stop - start for start, stop in facts.box])
    part = tuple(
        slice(max((low + high - 2 * size) // 2, 0), (low + high + 2 * size) // 2)
        for (low, high), size in zip(facts.box, crop, strict=True)
    )
    cut = TrainingVolume(volume.raw[part], volume.labels[part], volume.mask[part])
    network = UNet(architecture(preset, list(choose_offsets(facts.voxel_size))))
    options = TrainingOptions(crop=crop, boundary_steps=0, minimum_annotated=0.0, margin=2)
    return time_steps(network, cut, options, AugmentationOptions(), "cuda" if machine.gpu else "cpu")


def write_run_file(plan: Path, made: Plan, items: Sequence[str], voxel_size: Lengths | None) -> None:
    """Write the tables with their reasons as comments; paths start at the file.

    A voxel size that was given to plan goes along.
    """
    raw, labels = (_from_file(path, plan) for path in paths_of(items[0])[:2])
    tables = {name: dict(choices) for name, choices in made.tables.items()}
    tables["train"] |= {
        "data": Choice([_from_file(item, plan) for item in items], "the largest first: it is held out from")
    }
    tables["predict"] |= {"raw": Choice(raw, "")}
    tables["evaluate"] |= {"segmentation": Choice(f"{plan.stem}/fragments.zarr", "scores at all thresholds"),
                           "truth": Choice(labels, "")}  # fmt: skip
    if voxel_size is not None:
        for name in ("train", "predict", "evaluate"):
            tables[name] |= {"voxel_size": Choice(list(voxel_size), "as given to plan, where a volume does not say it")}
    if "held_out" in tables["train"]:
        held_out = tables["train"]["held_out"].value
        tables["predict"] |= {"box": Choice(held_out, "the held-out part; leave this line out for the whole volume")}
    lines = [
        "# Made by clew plan. Change what you know better, then: clew run FILE, or clew train --config FILE.",
        f"# Estimated: {made.cost.steps} steps"
        + (f", {made.cost.hours:.1f} hours" if made.cost.hours is not None else "")
        + f", {made.cost.memory / GIGABYTE:.1f} GB of memory, {made.cost.disk / GIGABYTE:.2f} GB of disk.",
        f"directory = {json.dumps(plan.stem)}",
    ]
    for name, choices in tables.items():
        lines += ["", f"[{name}]"]
        for key, choice in choices.items():
            lines += [f"# {choice.reason}"] if choice.reason else []
            lines += [f"{key} = {json.dumps(choice.value)}"]
    with written_beside(plan, overwrite=True) as partial:
        partial.write_text("\n".join(lines) + "\n")


def cost_lines(made: Plan, machine: MachineFacts, timing: Timing | None) -> list[str]:
    """The cost as rows of a table."""
    cost, options = made.cost, made.tables["train"]
    step = _step(made)
    rows = [
        ("machine", f"{machine.cores} cores, {machine.memory / GIGABYTE:.0f} GB"
                    + (", bfloat16 units" if machine.bfloat16 and not machine.gpu else "")
                    + (f"; {machine.gpu}, {machine.gpu_memory / GIGABYTE:.0f} GB" if machine.gpu else "; no GPU")),
        ("network", options["preset"].value),
        ("crop", " × ".join(map(str, step.crop)) + f" voxels, {step.crops} in a step, {step.batch} at a time"),
        ("steps", f"{cost.steps:,}"),
        ("hours", _hours(made, machine, timing)),
        ("memory", f"{cost.memory / GIGABYTE:.1f} GB of {machine.memory / GIGABYTE:.0f} (to within a third)"),
        ("disk", f"{cost.disk / GIGABYTE:.2f} GB of {machine.disk / GIGABYTE:.0f} free"),
    ]  # fmt: skip
    if machine.gpu:
        rows.insert(-1, ("GPU memory", f"{cost.gpu_memory / GIGABYTE:.1f} GB of {machine.gpu_memory / GIGABYTE:.0f} "
                                       "(by a model fitted on CPUs: a guess)"))  # fmt: skip
    return ["plan", *(f"  {name:<10}  {value}" for name, value in rows)]


def _step(made: Plan) -> Step:
    options = made.tables["train"]
    return Step(*(options[name].value for name in Step._fields if name in options))


def _hours(made: Plan, machine: MachineFacts, timing: Timing | None) -> str:
    options = made.tables["train"]
    if timing is None or made.cost.hours is None:
        return "not timed: give --timing" if options["preset"].value in USUAL_EDGE else "not timed: a recipe for GPUs"
    voxels = _step(made).voxels
    sure = "to within a quarter" if timing.spread < STEADY else f"a guess, steps vary by ×{timing.spread:.1f}"
    if not machine.gpu and timing.share < BUSY:
        sure = (f"as busy as this machine is, with {timing.share:.0%} of its cores left; else about "
                f"{made.cost.hours * timing.share:.1f}: plan again then")  # fmt: skip
    return (f"{made.cost.hours:.1f} ({sure}); timed: {timing.plain * voxels:.2f} s a step, "
            f"{timing.malis * voxels:.2f} s with MALIS")  # fmt: skip


def _from_file(item: str, plan: Path) -> str:
    """Paths of an annotated volume as they are written in a run file.

    They are relative to it if they lie below it, else absolute.
    """
    folder = plan.absolute().parent
    paths = []
    for path in item.split(","):
        if "://" not in path:
            whole = Path(os.path.abspath(path))
            path = str(whole.relative_to(folder) if whole.is_relative_to(folder) else whole)
        paths.append(path)
    return ",".join(paths)
