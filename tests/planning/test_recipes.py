"""The recipes of the paper's data sets."""

import dataclasses
import inspect
import math

import pytest

from clew import pipeline
from clew.errors import InputError
from clew.network.options import PRESETS
from clew.network.unet import valid_input_shape
from clew.planning.choices import MachineFacts, VolumeFacts
from clew.planning.recipes import DATA_SETS, check_voxels, plan_data_set
from clew.segmentation.agglomeration import parse_score
from clew.training.options import AugmentationOptions, TrainingOptions

SERVER = MachineFacts(cores=8, memory=10**11, gpu="a GPU", gpu_memory=80 * 10**9, bfloat16=True, disk=10**11)
INPUTS = {"cremi": (84, 268, 268), "fib-25": (196, 196, 196), "segem": (144, 188, 188)}


def facts(name: str) -> VolumeFacts:
    shape = (125, 1250, 1250)
    box = ((0, 125), (0, 1250), (0, 1250))
    return VolumeFacts("a.h5", shape, DATA_SETS[name].voxel_size, math.prod(shape), box, 1.0, 1.0, 300)


@pytest.mark.parametrize("name", INPUTS)
def test_recipe_is_the_papers(name: str):
    plan = plan_data_set(name, [facts(name)], SERVER, checkpoint="a.pt")
    train = {key: choice.value for key, choice in plan.tables["train"].items()}
    assert valid_input_shape(PRESETS[train["preset"]], tuple(train["crop"]))[0] == INPUTS[name]
    assert (train["padding"], train["loss"], train["batch"]) == ("valid", "squared-error", 1)
    assert (train["malis_after"], train["malis_weight"]) == (10_000, 1.0)
    assert (train["intensity_scale"], train["intensity_shift"]) == (0.1, 0.1)
    assert train.get("serial_sections", False) == (name == "cremi")
    assert plan.tables["segment"]["per_section"].value == (name == "cremi")
    assert plan.tables["segment"]["score"].value == train["score"]
    parse_score(train["score"])
    assert ("border" in plan.tables["evaluate"]) == (name == "cremi")
    assert 2e9 < plan.cost.gpu_memory < 40e9


def test_details_of_cremi():
    train = plan_data_set("cremi", [facts("cremi")], SERVER, checkpoint="a.pt").tables["train"]
    values = {key: choice.value for key, choice in train.items()}
    assert values["elastic_spacing"] == [4.0, 40.0, 40.0]
    assert values["elastic_jitter"] == [0.0, 2.0, 2.0]
    assert (values["transpose"], values["boundary_steps"], values["per_section"]) == ("in-plane", 3, True)
    assert {"held_out", "checkpoint"} <= values.keys()


@pytest.mark.parametrize("name", INPUTS)
def test_every_option_is_one_of_train(name: str):
    signature = inspect.signature(pipeline.train)
    train = plan_data_set(name, [facts(name)], SERVER, checkpoint="a.pt").tables["train"]
    assert train.keys() <= signature.parameters.keys()
    records = {field.name for record in (TrainingOptions, AugmentationOptions) for field in dataclasses.fields(record)}
    assert len(train.keys() & records) > 15


def test_data_sets_are_named_and_their_voxel_size_is_checked():
    named = inspect.signature(pipeline.plan).parameters["data_set"].annotation
    assert all(name in str(named) for name in DATA_SETS)
    check_voxels("fib-25", (10.0, 10.0, 10.0))
    with pytest.raises(InputError, match="voxels of cremi are 40×4×4 nm, but these are 8×8×8 nm"):
        check_voxels("cremi", (8.0, 8.0, 8.0))
