"""Volumes that several processes write at once."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from clew.errors import InputError
from clew.volumes.open import open_volume
from clew.volumes.shared import SharedVolume, finish_volume

PLACE = {"voxel_size": (40.0, 4.0, 4.0), "offset": (0.0, 8.0, 0.0)}


def test_blocks_written_by_copies_are_one_volume(tmp_path: Path):
    volume = SharedVolume(str(tmp_path / "ids.zarr"), (10, 20, 30), np.uint64, block_shape=(4, 20, 16), **PLACE)
    volume.create()
    values = np.random.default_rng(0).integers(0, 2**63, (10, 20, 30), np.uint64)
    for z in range(0, 10, 4):
        for x in range(0, 30, 16):
            box = (slice(z, min(z + 4, 10)), slice(0, 20), slice(x, min(x + 16, 30)))
            pickle.loads(pickle.dumps(volume))[box] = values[box]
    with pytest.raises(InputError):
        open_volume(volume.path)
    finish_volume([volume], {"stage": "test"})
    found = open_volume(volume.path)
    np.testing.assert_array_equal(found.read(), values)
    assert (found.voxel_size, found.offset) == (PLACE["voxel_size"], PLACE["offset"])
    assert found.attributes["stage"] == "test"


@pytest.mark.parametrize(
    ("block", "chunk"), [((256, 256, 256), 64), ((96, 96, 96), 32), ((48, 48, 48), 48), ((999, 999, 999), 64)]
)
def test_a_block_is_whole_chunks(tmp_path: Path, block: tuple[int, int, int], chunk: int):
    volume = SharedVolume(str(tmp_path / "ids.zarr"), (600, 600, 600), np.uint64, block_shape=block, **PLACE)
    assert volume.layout.chunks == (chunk,) * 3


def test_blocks_that_would_share_chunks_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="multiples of 16 voxels, or at most 64; not 100"):
        SharedVolume(str(tmp_path / "ids.zarr"), (600, 600, 600), np.uint64, block_shape=(100, 64, 64), **PLACE)


def test_a_chunk_that_is_missing_is_not_taken_for_zeros(tmp_path: Path):
    volume = SharedVolume(str(tmp_path / "ids.zarr"), (8, 8, 16), np.uint8, block_shape=(8, 8, 8), **PLACE)
    volume.create()
    left, right = ((slice(0, 8), slice(0, 8), part) for part in (slice(0, 8), slice(8, 16)))
    volume[left] = np.zeros((8, 8, 8), np.uint8)
    assert not volume[left].any()
    with pytest.raises(ValueError, match="NOT_FOUND: chunk"):
        volume[right]
