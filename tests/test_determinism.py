"""The same commands give the same bytes: again, and with other numbers of threads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import clew
from clew.network.checkpoint import Checkpoint, save_checkpoint
from clew.network.options import PRESETS
from clew.network.unet import UNet
from clew.space import NEAREST_OFFSETS
from clew.volumes.tables import load_table
from noise import noisy_affinities

pytestmark = pytest.mark.compiled
COMMANDS = (
    "synthesize raw.zarr truth.zarr --shape 24,40,44 --seed 3",
    "predict {common}/raw.zarr affinities.zarr --checkpoint {common}/tiny.pt --device cpu --precision float32",
    "segment {common}/affinities.zarr . --threshold 0.4 --minimum-size 5",
    "evaluate fragments.zarr {common}/truth.zarr --merge-tree merge_tree.h5 --json scores.json",
    "train trained.pt --data {common}/raw.zarr,{common}/truth.zarr --preset tiny --steps 3 --malis-after 1 "
    "--crop 16,16,16 --margin 2 --device cpu --snapshot-every 0 --precision float32",
)
RUN = """
import sys, torch
from clew.cli import main
torch.set_num_threads(int(sys.argv[1]))
for command in sys.argv[2:]:
    main(command.split())
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The commands run with one thread, again with one, and with four, all on the same inputs."""
    root = tmp_path_factory.mktemp("runs")
    common = root / "common"
    volume = clew.synthesize((24, 40, 44), seed=3)
    clew.save_volume(common / "raw.zarr", volume.raw, voxel_size=volume.voxel_size)
    clew.save_volume(common / "truth.zarr", volume.labels, voxel_size=volume.voxel_size)
    torch.manual_seed(0)
    save_checkpoint(common / "tiny.pt", Checkpoint(UNet(PRESETS["tiny"]).eval(), volume.voxel_size))
    clew.save_volume(
        common / "affinities.zarr",
        noisy_affinities(volume.labels),
        voxel_size=volume.voxel_size,
        attributes={"offsets": NEAREST_OFFSETS},
    )
    return {name: ran(root / name, common, threads) for name, threads in (("one", 1), ("again", 1), ("four", 4))}


def ran(folder: Path, common: Path, threads: int) -> Path:
    folder.mkdir()
    commands = [command.format(common=common) for command in COMMANDS]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(Path(clew.__file__).parents[1])}
    call = [sys.executable, "-c", RUN, str(threads), *commands]
    subprocess.run(call, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=300)
    return folder


def volume(folder: Path, name: str) -> np.ndarray:
    return clew.open_volume(folder / name).read()


@pytest.mark.parametrize("other", ["again", "four"])
def test_volumes_tables_and_scores_do_not_depend_on_threads(folders: dict[str, Path], other: str):
    one, two = folders["one"], folders[other]
    for name in ("raw.zarr", "truth.zarr", "fragments.zarr", "segmentation.zarr"):
        np.testing.assert_array_equal(volume(one, name), volume(two, name), err_msg=name)
    for name in ("region_graph.h5", "merge_tree.h5"):
        before, now = (load_table(folder / name).columns for folder in (one, two))
        assert before.keys() == now.keys()
        for column in before:
            np.testing.assert_array_equal(before[column], now[column], err_msg=f"{name}: {column}")
    scores = [json.loads((folder / "scores.json").read_text())["scores"] for folder in (one, two)]
    assert scores[0] == scores[1]
    assert len(np.unique(volume(one, "segmentation.zarr"))) > 3


def test_predicting_and_training_again_gives_the_same(folders: dict[str, Path]):
    one, again = folders["one"], folders["again"]
    np.testing.assert_array_equal(volume(one, "affinities.zarr"), volume(again, "affinities.zarr"))
    weights = [clew.load_checkpoint(folder / "trained.pt").network.state_dict() for folder in (one, again)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_predictions_with_other_threads_differ_by_one_step_at_most(folders: dict[str, Path]):
    one, four = (volume(folders[name], "affinities.zarr").astype(int) for name in ("one", "four"))
    assert np.abs(one - four).max() <= 1
