"""The decisions of a plan, as functions of facts."""

import dataclasses
import math

import pytest

from clew.network.options import PRESETS
from clew.planning import choices as planning
from clew.planning.choices import MachineFacts, Timing, VolumeFacts, held_out_slab, make_plan, training_extent
from clew.space import NEAREST_OFFSETS
from clew.training.options import AugmentationOptions

LAPTOP = MachineFacts(cores=2, memory=16 * 10**9, gpu=None, gpu_memory=0, bfloat16=False, disk=10**11)
SERVER = LAPTOP._replace(memory=10**11, gpu="a GPU", gpu_memory=80 * 10**9)
SLOW, FAST = Timing(5e-6, 6e-6, 1.1, 0.9), Timing(5e-8, 6e-8, 1.1, 0.3)


def volume(shape: tuple[int, int, int] = (250, 250, 250), voxel_size: tuple[float, float, float] = (10, 10, 10),
           **changes: object) -> VolumeFacts:  # fmt: skip
    box = tuple((0, size) for size in shape)
    return VolumeFacts("a.h5", shape, voxel_size, math.prod(shape), box, 1.0, 1.0, 300)._replace(**changes)


SERIAL = volume((125, 1250, 1250), (40.0, 4.0, 4.0))


def options(
    *volumes: VolumeFacts, machine: MachineFacts = LAPTOP, hours: float = 8, timing: Timing | None = SLOW
) -> dict:
    made = make_plan(volumes, machine, hours=hours, timing=timing, checkpoint="a.pt")
    return {key: choice.value for key, choice in made.tables["train"].items()}


def test_isotropic_and_serial_volumes():
    thin, thick = options(volume()), options(SERIAL)
    assert (thin["preset"], thick["preset"]) == ("small", "small-anisotropic")
    assert (thin["transpose"], thick["transpose"]) == ("all", "in-plane")
    assert (thin["per_section"], thick["per_section"]) == (False, True)
    assert thick["serial_sections"] is True
    assert thick["missing_sections"] == AugmentationOptions.missing_sections
    assert "serial_sections" not in thin
    assert thick["elastic_spacing"] == [4.0, 40.0, 40.0]
    assert thick["elastic_jitter"] == [0.0, 2.0, 2.0]
    assert thin["boundary_steps"] == 1
    assert thick["boundary_steps"] == 3
    assert thin["malis_after"] < thin["steps"]
    assert thin["malis_window"] == [28, 28, 28]
    assert thick["malis_after"] == thick["steps"]
    assert "malis_window" not in thick
    segment = make_plan([SERIAL], LAPTOP, hours=8, timing=None, checkpoint="a.pt").tables["segment"]
    assert segment["per_section"].value
    assert segment["seed_window"].value == 29
    assert segment["distance_cap"].value == 40


def test_offsets_keep_their_length_in_nanometres():
    assert planning.choose_offsets((10, 10, 10)) == PRESETS["small"].offsets
    fine = planning.choose_offsets((40, 4, 4))
    assert fine[:3] == NEAREST_OFFSETS
    assert set(fine[3:]) == {(0, -10, 0), (0, 0, -10), (-3, 0, 0), (0, -30, 0), (0, 0, -30)}
    assert planning.choose_offsets((200, 200, 200)) == NEAREST_OFFSETS


@pytest.mark.parametrize("facts", [volume(), SERIAL, volume((50, 100, 200)), volume((30, 64, 64), (25, 10, 10)),
                                   volume((20, 20, 20)), volume((60, 300, 300), (15, 10, 10))])  # fmt: skip
@pytest.mark.parametrize("machine", [LAPTOP, SERVER, LAPTOP._replace(memory=3 * 10**9)])
@pytest.mark.parametrize("timing", [None, SLOW, FAST])
def test_every_plan_can_be_trained(facts: VolumeFacts, machine: MachineFacts, timing: Timing | None):
    made = make_plan([facts], machine, hours=8, timing=timing, checkpoint="a.pt")
    chosen = {key: choice.value for key, choice in made.tables["train"].items()}
    factor = PRESETS[chosen["preset"]].factor
    assert all(size % step == 0 for size, step in zip(chosen["crop"], factor, strict=True))
    assert all(
        size <= max(have, 4 * step) for size, have, step in zip(chosen["crop"], facts.shape, factor, strict=True)
    )
    assert all(2 * chosen["margin"] < size for size in chosen["crop"])
    assert 0 < chosen["warmup"] < chosen["malis_after"] <= chosen["steps"]
    assert all(edge < size for edge, size in zip(chosen.get("malis_window", ()), chosen["crop"], strict=False))
    assert 1 <= chosen["batch"] * chosen["accumulate"] <= planning.LARGEST_BATCH
    smallest = planning.usual_crop(facts.voxel_size, training_extent(facts))
    voxels = math.prod(chosen["crop"]) * chosen["batch"]
    needed = planning.training_memory(chosen["preset"], voxels)
    assert needed < 0.6 * (machine.gpu_memory or machine.memory) or voxels <= math.prod(smallest)
    if timing is None:
        assert made.cost.hours is None
    else:
        assert made.cost.hours <= 8.5 or made.cost.steps == 200
    assert made.cost.memory > 0
    assert made.cost.disk > 0


def test_time_makes_crops_and_batches_larger():
    slow, fast = options(volume()), options(volume(), machine=SERVER, timing=FAST)
    assert slow["crop"] == [64, 64, 64]
    assert slow["batch"] == 1
    assert math.prod(fast["crop"]) * fast["batch"] > 64**3
    assert fast["steps"] >= planning.ENOUGH_STEPS
    small_gpu = SERVER._replace(gpu_memory=10**9)
    assert math.prod(options(volume(), machine=small_gpu, timing=FAST)["crop"]) <= 64**3
    assert options(volume(), hours=4)["steps"] < slow["steps"] <= 2 * options(volume(), hours=4)["steps"] + 1000


def test_a_gpu_takes_a_step_in_passes_that_fit():
    large, machines = volume((1000, 1000, 1000)), (SERVER, SERVER._replace(gpu_memory=6 * 10**9))
    made = [make_plan([large], machine, hours=80, timing=FAST, checkpoint="a.pt") for machine in machines]
    steps = [{key: choice.value for key, choice in plan.tables["train"].items()} for plan in made]
    assert [step["batch"] * step["accumulate"] for step in steps] == [8, 8]
    assert steps[0]["accumulate"] == 2, "MALIS of one pass during the next"
    assert steps[1]["accumulate"] > 2
    assert made[1].cost.gpu_memory <= 0.6 * 6e9 < made[0].cost.gpu_memory
    work = [planning.Step(tuple(step["crop"]), step["batch"], step["accumulate"]).voxels for step in steps]
    assert made[0].cost.hours / work[0] / steps[0]["steps"] == made[1].cost.hours / work[1] / steps[1]["steps"]


def test_small_data_are_not_trained_on_for_ever():
    facts = volume((64, 64, 64))
    assert options(facts, timing=FAST)["steps"] * 64**3 <= 4 * planning.EXPOSURES * facts.annotated


def test_held_out_slab_is_the_end_of_the_longest_axis():
    facts = volume((50, 100, 200))
    assert held_out_slab(facts) == (2, 160, 200)
    assert training_extent(facts) == (50, 100, 160)
    assert options(facts)["held_out"] == "0:50,0:100,160:200"
    annotated = volume(box=((10, 150), (0, 100), (5, 95)))
    assert options(annotated)["held_out"] == "122:150,0:100,5:95"
    tiny = volume((30, 30, 30))
    assert held_out_slab(tiny) is None
    assert "held_out" not in options(tiny)
    tables = make_plan([tiny], LAPTOP, hours=1, timing=None, checkpoint="a.pt").tables
    assert tables["segment"]["threshold"].value == planning.USUAL_THRESHOLD
    assert "threshold" not in make_plan([facts], LAPTOP, hours=1, timing=None, checkpoint="a.pt").tables["segment"]


def test_labels_with_background_between_are_not_eroded():
    assert options(volume(touching=0.0))["boundary_steps"] == 0
    assert options(volume(touching=0.0), volume(touching=1.0, annotated=10**9))["boundary_steps"] == 1


def test_slightly_anisotropic_volumes_keep_z_apart():
    chosen = options(volume(voxel_size=(15.0, 10.0, 10.0)))
    assert chosen["preset"] == "small"
    assert chosen["transpose"] == "in-plane"
    assert chosen["elastic_spacing"] == [26.7, 40.0, 40.0]
    assert chosen["elastic_jitter"] == [1.3, 2.0, 2.0]


def test_all_choices_are_options_and_say_why():
    names = {field.name for field in dataclasses.fields(AugmentationOptions)}
    for facts in (volume(), SERIAL):
        table = make_plan([facts], LAPTOP, hours=8, timing=SLOW, checkpoint="a.pt").tables["train"]
        assert all(choice.reason or key in names for key, choice in table.items())
