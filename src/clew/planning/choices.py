"""The decisions of `clew plan`: options of each stage, with reasons.

They follow from facts about the data and the machine.
"""

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from clew.network.options import PRESETS
from clew.network.unet import parameters_of
from clew.segmentation.options import AgglomerationOptions, FragmentOptions
from clew.space import NEAREST_OFFSETS, Lengths, Triple, triple
from clew.training.options import SERIAL_SECTIONS, AugmentationOptions, TrainingOptions
from clew.training.timing import Timing

GIGABYTE = 1e9

BYTES_PER_VOXEL = {"small": 1110, "small-anisotropic": 1170, "tiny": 450, "cremi": 700, "fib25": 700, "segem": 1530}
"""Memory of a training step for each voxel of its crops.

Measured on a CPU, as the growth of the peak with the crop (small ones: from 0.26 to 0.88 megavoxels) with padding `same`; the
larger of float32 and bfloat16, which differ by less than a tenth. `cremi`, not measured, is taken to be as `fib25`, which pools
hardly less.
"""
BYTES_PER_PARAMETER = 28
"""Weights, their average, gradients, two moments, and copies in the layout of the kernels (measured with 84 million)."""
BYTES_OF_PROCESS = 0.7e9
"""Python, PyTorch, numba and their buffers."""
BYTES_OF_DATA = 40
"""Bytes for each voxel of the annotated volumes: raw, labels, mask, and the prepared labels while they are made."""
USABLE_MEMORY = 0.6
"""Share of the memory that a plan may take."""

ISOTROPIC_BELOW = 2.0
"""Ratio of voxel sizes z / (y, x) below which all axes are pooled alike."""
SERIAL_FROM = 2.5
"""Ratio from which volumes are treated as serial sections: defects, erosion and fragments section by section."""
LONG_RANGE = (40.0, 120.0)
"""Lengths of the auxiliary long-range offsets in nm: those of the bundled network, 4 and 12 voxels of 10 nm."""
USUAL_THRESHOLD = 0.8
"""Of the mean, where none was chosen: the networks of the study of topology were best between 0.7 and 0.9."""
BOUNDARY = 12.0
"""Nanometres by which labels that touch are eroded: 3 voxels in the plane of CREMI, 1 to 2 of FIB-25 (the paper)."""
ELASTIC = 40
"""Pixels between control points of the elastic deformation in the plane (the paper); along z as many nanometres."""
SEED_WINDOW, DISTANCE_CAP = 110.0, 160.0
"""Window of the seeds and cap of the distance in nm: the defaults at 10 nm."""
MALIS_WINDOW = 280.0
"""Edge in nm of the windows in which MALIS counts on isotropic data: 28 voxels of the study of topology."""
EDGES = (48, 64, 80, 96, 112, 128)
FLAT_EDGES = (96, 128, 160, 192, 256)
"""Edges of the crops that are considered, isotropic, and in the plane of serial sections."""
USUAL_EDGE = {"small": 64, "small-anisotropic": 128}
ENOUGH_STEPS = 10_000
"""Larger crops and batches are taken only if the hours still hold this many steps."""
EXPOSURES = 1000
"""Times that a voxel is seen before more steps bring no more, by rule of thumb: small data do not need long training."""
LARGEST_BATCH = 8
"""Crops of a step."""
VALIDATIONS = 20
HELD_OUT = 0.2
"""Share of the longest annotated axis that is held out."""
THINNEST_HELD_OUT = 150.0
"""Nanometres that a held-out slab must measure at least, else neurites in it are too short to be wrong."""
TIME_FOR_STEPS = 0.9
"""Share of the hours for steps; the rest is for validation."""


class VolumeFacts(NamedTuple):
    """What is known of an annotated volume; the later ones are as in `Statistics`."""

    name: str
    shape: Triple
    voxel_size: Lengths
    annotated: int
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    density: float
    touching: float
    objects: int
    origin: Triple = (0, 0, 0)
    """The voxel of the raw file from which `shape` and `box` are counted."""


class MachineFacts(NamedTuple):
    """What is known of the machine that trains.

    Parameters
    ----------
    cores : int
    memory : int
        Bytes.
    gpu : str or None
        Name of a GPU.
    gpu_memory : int
        Bytes, 0 without a GPU.
    bfloat16 : bool
        Whether it has matrix units for bfloat16.
    disk : int
        Bytes that are free.
    """

    cores: int
    memory: int
    gpu: str | None
    gpu_memory: int
    bfloat16: bool
    disk: int


class Step(NamedTuple):
    """One step of training: some passes, each of a batch of crops of one shape."""

    crop: Triple
    batch: int = TrainingOptions.batch
    accumulate: int = TrainingOptions.accumulate

    @property
    def crops(self) -> int:
        """Crops of all passes together."""
        return self.batch * self.accumulate

    @property
    def voxels(self) -> int:
        """Voxels of all crops together."""
        return self.crops * math.prod(self.crop)

    @property
    def voxels_of_pass(self) -> int:
        """Voxels that are in memory at a time."""
        return self.batch * math.prod(self.crop)


class Choice(NamedTuple):
    """A value of an option and the reason for it."""

    value: Any
    reason: str


class Cost(NamedTuple):
    """What a plan will take.

    Parameters
    ----------
    steps : int
    hours : float or None
        None if no step was timed.
    memory, gpu_memory, disk : float
        Bytes.
    """

    steps: int
    hours: float | None
    memory: float
    gpu_memory: float
    disk: float


class Plan(NamedTuple):
    """Options of each stage, in the order of the stages, and their cost."""

    tables: dict[str, dict[str, Choice]]
    cost: Cost


def anisotropy(voxel_size: Lengths) -> float:
    """Voxel size along z over the mean of those along y and x."""
    return 2 * voxel_size[0] / (voxel_size[1] + voxel_size[2])


def choose_preset(voxel_size: Lengths) -> str:
    """The architecture whose pooling suits a voxel size."""
    return "small" if anisotropy(voxel_size) < ISOTROPIC_BELOW else "small-anisotropic"


def choose_offsets(voxel_size: Lengths) -> tuple[Triple, ...]:
    """The nearest neighbours, and long-range offsets along each axis.

    Long-range offsets are of about the lengths in `LONG_RANGE`; no offset comes twice.
    """
    offsets = list(NEAREST_OFFSETS)
    for length in LONG_RANGE:
        for axis in range(3):
            steps = round(length / voxel_size[axis])
            offset = (-steps if axis == 0 else 0, -steps if axis == 1 else 0, -steps if axis == 2 else 0)
            if steps > 1 and offset not in offsets:
                offsets.append(offset)
    return tuple(offsets)


def crop_of_edge(preset: str, voxel_size: Lengths, edge: int) -> Triple:
    """A crop with an edge of so many voxels in the plane.

    It is about as long in z in nm, but has at least 12 sections, in multiples of the pooling.
    """
    if choose_preset(voxel_size) == "small":
        return edge, edge, edge
    factor = PRESETS[preset].factor[0]
    return max(12, round(edge / anisotropy(voxel_size) / factor) * factor), edge, edge


def usual_crop(voxel_size: Lengths, extent: Sequence[int]) -> Triple:
    """The crop that is tried first, and timed."""
    preset = choose_preset(voxel_size)
    return _fit(crop_of_edge(preset, voxel_size, USUAL_EDGE[preset]), extent, PRESETS[preset].factor)


def held_out_slab(volume: VolumeFacts) -> Triple | None:
    """Axis, start and stop of the slab to hold out, None where it would be too thin.

    The slab is the end of the longest annotated axis.
    """
    lengths = [stop - start for start, stop in volume.box]
    axis = max(range(3), key=lambda a: (lengths[a], -a))
    size = round(HELD_OUT * lengths[axis])
    if size * volume.voxel_size[axis] < THINNEST_HELD_OUT or size < 8:
        return None
    return axis, volume.box[axis][1] - size, volume.box[axis][1]


def training_extent(volume: VolumeFacts) -> Triple:
    """Annotated voxels along (z, y, x) that are left to train on."""
    lengths = [stop - start for start, stop in volume.box]
    slab = held_out_slab(volume)
    if slab is not None:
        lengths[slab[0]] -= slab[2] - slab[1]
    return lengths[0], lengths[1], lengths[2]


def training_memory(preset: str, voxels: int) -> float:
    """Bytes that network and step need for crops of so many voxels in total."""
    return parameters_of(PRESETS[preset]) * BYTES_PER_PARAMETER + voxels * BYTES_PER_VOXEL[preset]


def make_plan(
    volumes: Sequence[VolumeFacts], machine: MachineFacts, *, hours: float, timing: Timing | None, checkpoint: str
) -> Plan:
    """Decide all options of training and segmentation.

    The first volume is the largest, and all have one voxel size.

    Parameters
    ----------
    volumes : sequence of VolumeFacts
        Annotated volumes, the largest first.
    machine : MachineFacts
        Where training will run.
    hours : float
        Hours that training may take.
    timing : Timing or None
        Speed of a step on this machine, or None if it was not measured.
    checkpoint : str
        Name of the file to write.

    Returns
    -------
    Plan
        Its tables are options of the stages `train`, `predict`, `segment` and `evaluate`, without the paths of the data.
    """
    work = choose_step(volumes, machine, hours, timing)
    steps = choose_steps(volumes, work.voxels, hours, timing)
    slab = held_out_slab(volumes[0])
    tables = {
        "train": {
            "checkpoint": Choice(checkpoint, "the network; log and state go to the folder .training beside it"),
            **_held_out_choice(volumes[0], slab),
            **network_choices(volumes[0].voxel_size),
            **crop_choices(volumes, machine, work),
            **schedule_choices(volumes[0].voxel_size, steps, hours, timing),
            **window_choices(volumes[0].voxel_size, work.crop),
            **border_choices(volumes),
            **augmentation_choices(volumes[0].voxel_size),
        },
        "predict": {"checkpoint": Choice(checkpoint, "")},
        "segment": segmentation_choices(volumes[0].voxel_size) | _threshold_choice(slab),
        "evaluate": {},
    }
    preset = choose_preset(volumes[0].voxel_size)
    return Plan(tables, plan_cost(volumes, machine, preset, work, steps, timing))


def choose_step(volumes: Sequence[VolumeFacts], machine: MachineFacts, hours: float, timing: Timing | None) -> Step:
    """Choose the crops of a step: the largest that fit, as many as there is time for.

    First the largest crop that fits in memory, then as many crops as leave time for enough steps, in passes that fit.

    A GPU goes through them in two passes at least, so that the MALIS weights of one are computed while it does the next.
    """
    voxel_size, extent = volumes[0].voxel_size, training_extent(volumes[0])
    preset = choose_preset(voxel_size)
    edges = EDGES if preset == "small" else FLAT_EDGES
    crops = [_fit(crop_of_edge(preset, voxel_size, edge), extent, PRESETS[preset].factor) for edge in edges]
    usable = [crop for crop in crops if _fits(volumes, machine, preset, math.prod(crop))] or crops[:1]
    usual = math.prod(usual_crop(voxel_size, extent))

    def enough(voxels: int) -> bool:
        return timing is not None and choose_steps(volumes, voxels, hours, timing) >= ENOUGH_STEPS

    affordable = [crop for crop in usable if math.prod(crop) <= usual or enough(math.prod(crop))]
    crop = max(affordable or usable[:1], key=math.prod)
    number = 1
    while machine.gpu and number < LARGEST_BATCH and enough(2 * number * math.prod(crop)):
        number *= 2
    batch = max(number // 2, 1)
    while batch > 1 and not _fits(volumes, machine, preset, batch * math.prod(crop)):
        batch //= 2
    return Step(crop, batch, number // batch)


def choose_steps(volumes: Sequence[VolumeFacts], voxels: int, hours: float, timing: Timing | None) -> int:
    """The steps that the data are worth and the hours hold, to two digits."""
    steps = EXPOSURES * sum(volume.annotated for volume in volumes) / voxels
    if timing is not None:
        steps = min(steps, hours * 3600 * TIME_FOR_STEPS / (_mean_seconds(volumes, timing) * voxels))
    steps = max(round(steps), 200)
    digits = 10 ** (len(str(steps)) - 2)
    return steps // digits * digits


def network_choices(voxel_size: Lengths) -> dict[str, Choice]:
    """Choose architecture and offsets."""
    ratio = anisotropy(voxel_size)
    kind = "all axes pooled alike" if ratio < ISOTROPIC_BELOW else "pooled in the plane first"
    lengths = " and ".join(f"{length:g}" for length in LONG_RANGE)
    return {
        "preset": Choice(choose_preset(voxel_size), f"voxels are {ratio:.2g} times as long in z as in the plane: {kind}"),
        "offsets": Choice([list(offset) for offset in choose_offsets(voxel_size)],
                          f"the nearest neighbours, and about {lengths} nm along each axis as an aid in training"),
    }  # fmt: skip


def crop_choices(volumes: Sequence[VolumeFacts], machine: MachineFacts, work: Step) -> dict[str, Choice]:
    """Choose the crops of a step, and what goes with their size."""
    preset, crop = choose_preset(volumes[0].voxel_size), work.crop
    needed = training_memory(preset, work.voxels_of_pass)
    room = machine.gpu_memory if machine.gpu else machine.memory
    place = machine.gpu or f"{machine.cores} cores"
    return {
        "crop": Choice(list(crop), f"takes about {needed / GIGABYTE:.1f} GB of {room / GIGABYTE:.0f} ({place})"),
        "batch": Choice(work.batch, "crops in memory at a time"),
        "accumulate": Choice(
            work.accumulate,
            f"such passes make a step of {work.crops} crops: MALIS of one is computed while the GPU does the next"
            if work.accumulate > 1
            else "passes in a step",
        ),
        "padding": Choice("same", "several times cheaper on crops of this size than full context"),
        "margin": Choice(min(TrainingOptions.margin, crop[0] // 6), "voxels at faces of the crop that bring no loss"),
    }


def schedule_choices(voxel_size: Lengths, steps: int, hours: float, timing: Timing | None) -> dict[str, Choice]:
    """Choose steps, warm-up, MALIS and validation."""
    why = f"what {hours:g} hours hold, and the data are worth" if timing else "what the data are worth; not timed"
    share = share_without_malis(voxel_size)
    alone = "the voxel-wise loss alone: in thick sections MALIS joined more neurons by mistake"
    reason = alone if is_serial(voxel_size) else f"the voxel-wise loss for {share:.0%} of the steps, then MALIS"
    return {
        "steps": Choice(steps, why),
        "warmup": Choice(min(TrainingOptions.warmup, max(steps // 20, 1)), "steps in which the learning rate rises"),
        "malis_after": Choice(round(share * steps), reason),
        "validate_every": Choice(max(steps // VALIDATIONS, 1), f"{VALIDATIONS} validations by segmentation"),
    }


def is_serial(voxel_size: Lengths) -> bool:
    """Whether sections are so thick that each is for itself."""
    return anisotropy(voxel_size) >= SERIAL_FROM


def share_without_malis(voxel_size: Lengths) -> float:
    """The share of the steps before MALIS: all where sections are thick.

    MALIS was behind there in the study of topology.
    """
    return 1.0 if is_serial(voxel_size) else TrainingOptions.malis_after / TrainingOptions.steps


def window_choices(voxel_size: Lengths, crop: Triple) -> dict[str, Choice]:
    """Choose windows for MALIS, where the crop is larger."""
    window = triple(max(round(MALIS_WINDOW / size), 1) for size in voxel_size)
    if is_serial(voxel_size) or any(w >= c for w, c in zip(window, crop, strict=True)):
        return {}
    return {
        "malis_window": Choice(list(window), f"MALIS in windows of {MALIS_WINDOW:g} nm joined fewer neurons by mistake")
    }


def border_choices(volumes: Sequence[VolumeFacts]) -> dict[str, Choice]:
    """Choose how background is grown between objects that touch."""
    voxel_size = volumes[0].voxel_size
    serial = is_serial(voxel_size)
    touching = sum(v.touching * v.annotated for v in volumes) / max(sum(v.annotated for v in volumes), 1)
    steps = max(round(BOUNDARY / voxel_size[1]), 1) if touching > 0.5 else 0
    what = f"erode {steps * voxel_size[1]:g} nm" if steps else "nothing to erode"
    return {
        "boundary_steps": Choice(steps, f"{touching:.0%} of the borders have no background between objects: {what}"),
        "per_section": Choice(serial, "erode in the plane only" if serial else "sections are thin: erode along z too"),
    }


def augmentation_choices(voxel_size: Lengths) -> dict[str, Choice]:
    """Choose the augmentation where it differs from the defaults.

    The spacing of the elastic deformation depends on the axis.
    """
    ratio, serial = anisotropy(voxel_size), is_serial(voxel_size)
    recipe, usual = (SERIAL_SECTIONS if serial else AugmentationOptions()), AugmentationOptions()
    differing = [field.name for field in fields(recipe) if getattr(recipe, field.name) != getattr(usual, field.name)]
    reason = "serial sections" if serial else ""
    choices = {name: Choice(plain(getattr(recipe, name)), reason) for name in differing}
    if serial:
        names = [name for name in vars(recipe) if name.endswith("_sections") and name not in differing]
        choices |= {name: Choice(getattr(recipe, name), "share of sections, as in the paper") for name in names}
    choices["transpose"] = Choice(
        "all" if ratio < 1.1 else "in-plane", "z looks unlike y and x" if ratio >= 1.1 else "axes are alike"
    )
    spacing = [max(1.0, round(ELASTIC / ratio, 1)), float(ELASTIC), float(ELASTIC)]
    choices["elastic_spacing"] = Choice(
        spacing, f"voxels between control points: {ELASTIC * voxel_size[1]:g} nm along each axis"
    )
    if not serial and ratio >= 1.1:
        jitter = usual.elastic_jitter
        choices["elastic_jitter"] = Choice(
            [round(jitter[0] / ratio, 1), *jitter[1:]], "as many nanometres along each axis"
        )
    return choices


def segmentation_choices(voxel_size: Lengths) -> dict[str, Choice]:
    """Choose fragments and score."""
    serial = is_serial(voxel_size)
    window, cap = (round(length / voxel_size[1]) for length in (SEED_WINDOW, DISTANCE_CAP))
    return {
        "per_section": Choice(serial, "thick sections: fragments section by section" if serial else "fragments in 3D"),
        "method": Choice(FragmentOptions.method, "exact at block borders"),
        "seed_window": Choice(max(3, window // 2 * 2 + 1), f"about {SEED_WINDOW:g} nm"),
        "distance_cap": Choice(min(max(2, cap), 128), f"about {DISTANCE_CAP:g} nm"),
        "score": Choice(AgglomerationOptions.score, "the score whose threshold training chooses"),
    }


def _held_out_choice(volume: VolumeFacts, slab: Triple | None) -> dict[str, Choice]:
    if slab is None:
        return {}
    axis, start, stop = slab
    ends = [(start, stop) if a == axis else ends for a, ends in enumerate(volume.box)]
    box = ",".join(f"{low + first}:{high + first}" for (low, high), first in zip(ends, volume.origin, strict=True))
    thick = (stop - start) * volume.voxel_size[axis]
    return {
        "held_out": Choice(box, f"{thick:g} nm of the longest annotated axis; network and threshold are chosen on it")
    }


def _threshold_choice(slab: Triple | None) -> dict[str, Choice]:
    return (
        {}
        if slab
        else {"threshold": Choice(USUAL_THRESHOLD, "nothing is held out, so none is chosen: look for the best one")}
    )


def _fit(crop: Triple, extent: Sequence[int], factor: Triple) -> Triple:
    """A crop no longer than what is annotated, but of at least four pooling factors."""
    return triple(min(c, max(e // f, 4) * f) // f * f for c, e, f in zip(crop, extent, factor, strict=True))


def _fits(volumes: Sequence[VolumeFacts], machine: MachineFacts, preset: str, voxels: int) -> bool:
    step = training_memory(preset, voxels)
    if machine.gpu:
        return step <= USABLE_MEMORY * machine.gpu_memory
    return step + _data_memory(volumes) <= USABLE_MEMORY * machine.memory


def _data_memory(volumes: Sequence[VolumeFacts]) -> float:
    return BYTES_OF_PROCESS + BYTES_OF_DATA * sum(math.prod(volume.shape) for volume in volumes)


def _mean_seconds(volumes: Sequence[VolumeFacts], timing: Timing) -> float:
    share = share_without_malis(volumes[0].voxel_size)
    return share * timing.plain + (1 - share) * timing.malis


def plan_cost(
    volumes: Sequence[VolumeFacts], machine: MachineFacts, preset: str, work: Step, steps: int, timing: Timing | None
) -> Cost:
    """Tell what so many steps cost."""
    step = training_memory(preset, work.voxels_of_pass)
    hours = None if timing is None else steps * work.voxels * _mean_seconds(volumes, timing) / 3600 / TIME_FOR_STEPS
    checkpoint, state = 4 * parameters_of(PRESETS[preset]), 16 * parameters_of(PRESETS[preset])
    segmented = math.prod(b - a for a, b in volumes[0].box) * HELD_OUT if held_out_slab(volumes[0]) else 0
    disk = checkpoint + 2 * state + segmented * (3 + 8 + 8)
    memory = _data_memory(volumes) + (0 if machine.gpu else step)
    return Cost(steps, hours, memory, step if machine.gpu else 0.0, disk)


def plain(value: Any) -> Any:
    """A value as it stands in a TOML file."""
    return list(value) if isinstance(value, tuple) else value
