"""`clew build-region-graph` reads volumes in parts, and finds what the whole has."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import clew
from clew import cli, pipeline
from clew.errors import InputError
from clew.pipeline._tables import load_region_graph
from clew.synthetic.volume import synthesize
from clew.volumes.affinities import affinity_attributes
from clew.volumes.save import save_volume
from noise import noisy_affinities

OFFSETS = [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]


@pytest.mark.parametrize("offset", [(0, 0, 0), (20, 30, 10)])
def test_parts_add_up_to_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: tuple[int, int, int]):
    """Affinities may lie inside of the fragments, as `offset` says in nm."""
    rng = np.random.default_rng(0)
    shape, low = (9, 14, 11), np.floor_divide(offset, 10)
    affinities = rng.integers(0, 256, (3, *shape), np.uint8)
    fragments = rng.integers(0, 6, np.add(shape, low)).astype(np.uint64) * 1000
    save_volume(tmp_path / "a.zarr", affinities, voxel_size=(10, 10, 10), offset=offset,
                attributes=affinity_attributes(OFFSETS, np.uint8))  # fmt: skip
    save_volume(tmp_path / "f.zarr", fragments, voxel_size=(10, 10, 10))
    monkeypatch.setattr(import_module("clew.pipeline.build_region_graph"), "PART", 4)
    pipeline.build_region_graph(*(str(tmp_path / name) for name in ("a.zarr", "f.zarr", "graph.h5")))
    found, _ = load_region_graph(str(tmp_path / "graph.h5"))
    inside = fragments[tuple(slice(start, None) for start in low)]
    expected = clew.build_region_graph(affinities, inside)
    for name in ("fragments", "sizes", "edges", "starts", "bins", "counts"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


@pytest.mark.usefixtures("in_this_process")
def test_a_run_in_blocks_can_be_corrected_as_its_refusal_says(tmp_path: Path):
    affinities = noisy_affinities(synthesize((16, 24, 32), seed=3).labels)
    attributes = {"offsets": OFFSETS}
    clew.save_volume(tmp_path / "a.zarr", affinities, voxel_size=(8, 8, 8), attributes=attributes)
    pipeline.segment_blocks(
        str(tmp_path / "a.zarr"), str(tmp_path / "run"), threshold=0.5, block_shape=(16, 12, 16), workers=1
    )
    with pytest.raises(InputError, match="of a run in blocks it is made by clew build-region-graph") as refusal:
        clew.open_edits(tmp_path / "run")
    command = str(refusal.value).partition("clew ")[2].replace("AFFINITIES", str(tmp_path / "a.zarr"))
    cli.main(command.split())
    with clew.open_edits(tmp_path / "run") as edits:
        segments = clew.open_volume(tmp_path / "run" / "segmentation.zarr").read()
        assert np.array_equal(
            clew.relabel(edits.read_fragments(), edits.apply().fragments, edits.apply().lookup), segments
        )
