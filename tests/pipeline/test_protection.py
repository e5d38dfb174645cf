"""An input never lies among the outputs, for every command that writes, with and without `--overwrite` and `--restart`."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from clew import pipeline
from clew.errors import InputError
from clew.pipeline._protection import refuse_overlap
from clew.volumes.save import save_volume

Call = Callable[..., object]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a raw volume and affinities, which may both be what a command reads."""
    monkeypatch.chdir(tmp_path)
    image = np.arange(8**3, dtype=np.uint8).reshape(8, 8, 8)
    save_volume("raw.zarr", image, voxel_size=(8, 8, 8))
    save_volume("volume.zarr", image, voxel_size=(8, 8, 8))
    save_volume("fragments.zarr", np.stack([image] * 3), voxel_size=(8, 8, 8))
    save_volume("all.h5:raw", image, voxel_size=(8, 8, 8))
    for name in ("n.pt", "a.h5", "a.png", "a.toml"):
        Path(name).write_text("mine")
    return tmp_path


WHOLE: dict[str, Call] = {
    "predict": lambda **options: pipeline.predict("raw.zarr", "./raw.zarr", **options),
    "convert": lambda **options: pipeline.convert("raw.zarr", "raw.zarr", **options),
    "convert a scale": lambda **options: pipeline.convert("raw.zarr", "raw.zarr/s0", **options),
    "convert HDF5": lambda **options: pipeline.convert("all.h5", "all.h5:raw", **options),
    "convert a dataset to its file": lambda **options: pipeline.convert("all.h5:raw", "all.h5", **options),
    "extract-fragments": lambda **options: pipeline.extract_fragments("fragments.zarr", "fragments.zarr", **options),
    "build-region-graph": lambda **options: pipeline.build_region_graph("a.h5", "raw.zarr", "a.h5", **options),
    "agglomerate": lambda **options: pipeline.agglomerate("a.h5", "a.h5", **options),
    "relabel": lambda **options: pipeline.relabel("raw.zarr", "a.h5", "raw.zarr", **options),
    "segment": lambda **options: pipeline.segment("fragments.zarr", ".", **options),
    "evaluate": lambda **options: pipeline.evaluate("raw.zarr", "raw.zarr", merge_tree="a.h5", json="a.h5", **options),
    "plan": lambda **options: pipeline.plan(["a.toml"], output="a.toml", **options),
    "train": lambda **options: pipeline.train("n.pt", data=["raw.zarr,volume.zarr"], initial="n.pt", **options),
    "augment": lambda **options: pipeline.augment("raw.zarr,a.png", preview="a.png", **options),
    "synthesize": lambda **options: pipeline.synthesize("new.zarr", "new.zarr", **options),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("call", WHOLE.values(), ids=WHOLE)
def test_a_command_does_not_replace_its_input(place: Path, call: Call, overwrite: bool):
    before = contents(place)
    with pytest.raises(InputError, match="would replace"):
        call(overwrite=overwrite)
    assert contents(place) == before


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("volumes", [None, "."])
def test_blocks_do_not_replace_their_input(place: Path, restart: bool, volumes: str | None):
    before = contents(place)
    with pytest.raises(InputError, match="would replace"):
        pipeline.convert_blocks("volume.zarr", "." if volumes is None else "run", volumes=volumes, restart=restart)
    assert contents(place) == before


@pytest.mark.parametrize("restart", [False, True])
def test_a_folder_of_another_command_and_of_nobody_is_left_alone(place: Path, restart: bool):
    pipeline.convert_blocks("raw.zarr", "run", workers=1)
    Path("mine").mkdir()
    save_volume("mine/segmentation.zarr", np.ones((8, 8, 8), np.uint64), voxel_size=(8, 8, 8))
    before = contents(place)
    with pytest.raises(InputError, match="holds a run of convert-blocks.*give another folder"):
        pipeline.evaluate_blocks("run/volume.zarr", "raw.zarr", "run", restart=restart)
    with pytest.raises(InputError, match="does not belong to a run"):
        pipeline.segment_blocks("fragments.zarr", "mine", threshold=0.5, restart=restart)
    assert contents(place) == before


def test_restart_leaves_what_others_put_into_the_folder(place: Path):
    pipeline.convert_blocks("raw.zarr", "run", workers=1)
    Path("run/notes.txt").write_text("mine")
    pipeline.convert_blocks("raw.zarr", "run", workers=1, restart=True)
    assert Path("run/notes.txt").read_text() == "mine"


def test_another_dataset_of_the_file_and_a_folder_of_images_are_no_overlap(place: Path):
    pipeline.convert("all.h5", "all.h5:copy")
    with h5py.File("all.h5") as file:
        assert set(file) == {"raw", "copy"}
    refuse_overlap(["."], ["raw.zarr", "new.zarr"])
    refuse_overlap(["s3://a/raw.zarr"], ["s3://a/raw.zarr2"])
    with pytest.raises(InputError, match="would replace"):
        refuse_overlap(["s3://a/raw.zarr"], ["s3://a/raw.zarr/"])


def test_a_link_to_the_input_is_the_input(place: Path):
    Path("link.zarr").symlink_to("raw.zarr")
    with pytest.raises(InputError, match="would replace"):
        pipeline.convert("raw.zarr", "link.zarr", overwrite=True)
