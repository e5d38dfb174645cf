"""The paper's data sets: the recipe of each as options of the stages.

Source: arXiv 1709.02974, sections 2 to 4 and supplement.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from clew.errors import InputError
from clew.network.options import PRESETS
from clew.network.unet import valid_input_shape
from clew.planning.choices import (
    VALIDATIONS,
    Choice,
    MachineFacts,
    Plan,
    Step,
    VolumeFacts,
    augmentation_choices,
    make_plan,
    plain,
    plan_cost,
)
from clew.space import Lengths, Triple
from clew.training.options import SERIAL_SECTIONS, AugmentationOptions

STEPS = 200_000
"""Steps of a training by the paper's recipe; their number is clew's choice."""
SCORE = "hist_quant_75"
"""Score of the paper's agglomeration that its recipes use."""
TOLERANCE = 0.25
"""Share by which voxels may differ from those of the data set."""
OURS = "clew's choice"


class DataSet(NamedTuple):
    """What is known of a data set of the paper.

    A data set without a preset is planned as any other data.

    Parameters
    ----------
    voxel_size : (z, y, x) floats
        In nm.
    preset : str or None
        The paper's network.
    crop : (z, y, x) ints
        Output voxels of a training crop.
    boundary : Choice
        Voxels by which labels are eroded, and why so many.
    augmentation : AugmentationOptions or None
        The paper's, where it gives one.
    border : float
        Distance in nm to borders of the truth that is not scored.
    """

    voxel_size: Lengths
    preset: str | None = None
    crop: Triple = (0, 0, 0)
    boundary: Choice = Choice(1, OURS)
    augmentation: AugmentationOptions | None = None
    border: float = 0.0


_PAPER: dict[str, Any] = {
    "warp_probability": 1.0, "scaling": 0.0, "intensity_scale": 0.1, "intensity_shift": 0.1, "noise": 0.0, "blur": 0.0
}  # fmt: skip
DATA_SETS: dict[str, DataSet] = {
    "cremi": DataSet((40.0, 4.0, 4.0), "cremi", (56, 56, 56), Choice(3, "3 to 4 in the paper, in the plane"),
                     replace(SERIAL_SECTIONS, **_PAPER), 25.0),
    "fib-25": DataSet((8.0, 8.0, 8.0), "fib25", (92, 92, 92), Choice(2, "1 to 4 in the paper, in 3D"),
                      AugmentationOptions(**_PAPER)),
    "segem": DataSet((26.0, 11.0, 11.0), "segem", (96, 100, 100)),
    "snemi3d": DataSet((30.0, 6.0, 6.0)),
}  # fmt: skip
"""The data sets by name; SNEMI3D has no recipe in the paper."""


def plan_data_set(name: str, volumes: Sequence[VolumeFacts], machine: MachineFacts, *, checkpoint: str) -> Plan:
    """The plan of the paper for a data set.

    What the paper leaves open is chosen as for other data.

    Parameters
    ----------
    name : str
        One of `DATA_SETS`, with a preset.
    volumes : sequence of VolumeFacts
    machine : MachineFacts
    checkpoint : str
        As for `make_plan`.

    Returns
    -------
    Plan
    """
    data_set = DATA_SETS[name]
    assert data_set.preset is not None
    made = make_plan(volumes, machine, hours=math.inf, timing=None, checkpoint=checkpoint)
    kept = {key: choice for key, choice in made.tables["train"].items() if key in ("checkpoint", "held_out")}
    tables = {
        **made.tables,
        "train": kept | _training(data_set),
        "segment": made.tables["segment"]
        | {"method": Choice("seeded-flood", "as in the paper"), "score": Choice(SCORE, "as in the paper")},
        "evaluate": {"border": Choice(data_set.border, "as the challenge scores")} if data_set.border else {},
    }
    options = PRESETS[data_set.preset]
    read = Step(valid_input_shape(options, data_set.crop)[0])
    return Plan(tables, plan_cost(volumes, machine, data_set.preset, read, STEPS, None))


def check_voxels(name: str, voxel_size: Lengths) -> None:
    """Refuse voxels of another size than those of the data set."""
    wanted = DATA_SETS[name].voxel_size
    if any(abs(found - size) > TOLERANCE * size for found, size in zip(voxel_size, wanted, strict=True)):
        found_text, wanted_text = ("×".join(f"{size:g}" for size in sizes) for sizes in (voxel_size, wanted))
        raise InputError(
            f"the voxels of {name} are {wanted_text} nm, but these are {found_text} nm; plan without --data-set"
        )


def _training(data_set: DataSet) -> dict[str, Choice]:
    serial = data_set.border > 0
    return {
        "preset": Choice(data_set.preset, "the paper's network"),
        "crop": Choice(list(data_set.crop), "output of the paper's training crops"),
        "padding": Choice("valid", "full context, as in the paper"),
        "margin": Choice(0, "all of a crop with full context counts"),
        "batch": Choice(1, "as in the paper"),
        "steps": Choice(STEPS, OURS),
        "learning_rate": Choice(1e-4, "0.5e-4 to 1e-4 in the paper; here it falls to 0 at the end"),
        "loss": Choice("squared-error", "the paper's, balanced"),
        "malis_after": Choice(10_000, "as in the paper"),
        "malis_weight": Choice(1.0, "then MALIS alone, as in the paper"),
        "minimum_annotated": Choice(0.5, "as in the paper"),
        "validate_every": Choice(STEPS // VALIDATIONS, f"{VALIDATIONS} validations by segmentation"),
        "score": Choice(SCORE, "the threshold belongs to it"),
        "boundary_steps": data_set.boundary,
        "per_section": Choice(serial, "erode in the plane only" if serial else "erode along z too"),
        **_augmentation(data_set),
    }


def _augmentation(data_set: DataSet) -> dict[str, Choice]:
    if data_set.augmentation is None:
        geometry = augmentation_choices(data_set.voxel_size)
        return geometry | {name: Choice(value, "as in the paper") for name, value in _PAPER.items()}
    usual, paper = vars(AugmentationOptions()), vars(data_set.augmentation)
    return {name: Choice(plain(value), "as in the paper") for name, value in paper.items() if value != usual[name]}
