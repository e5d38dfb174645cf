"""Precomputed segmentations in the making: shards, scales, places."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.blockwise.tasks import run_serial
from clew.errors import InputError
from clew.space import Box, triple
from clew.volumes.open import open_volume
from clew.volumes.precomputed_blocks import precomputed_tasks, shared_precomputed
from clew.volumes.run_store import FileStore
from clew.volumes.save import save_volume
from clew.volumes.shared_precomputed import PrecomputedScale, SharedPrecomputed, precomputed_scales

LARGE = (3, 70, 64 * 40)
"""More chunks than a shard holds."""


def labels_of(shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5, [-(-length // 8) for length in shape]).repeat(8, 0).repeat(8, 1).repeat(
        8, 2)[tuple(map(slice, shape))].astype(np.uint64) * np.uint64(1 << 60)  # fmt: skip


def naive_pool(labels: np.ndarray, first: tuple[int, ...], factors: tuple[int, ...]) -> np.ndarray:
    """The most frequent label in each window of the grid that begins at the origin."""
    low = [start // by for start, by in zip(first, factors, strict=True)]
    high = [-(-(s + n) // by) for s, n, by in zip(first, labels.shape, factors, strict=True)]
    pooled = np.zeros([b - a for a, b in zip(low, high, strict=True)], np.uint64)
    for place in np.ndindex(*pooled.shape):
        starts = [(p + a) * by - s for p, a, by, s in zip(place, low, factors, first, strict=True)]
        window = labels[tuple(slice(max(at, 0), at + by) for at, by in zip(starts, factors, strict=True))]
        found, counts = np.unique(window, return_counts=True)
        best = found[counts == counts.max()]
        pooled[place] = best[best > 0].min() if (best > 0).any() else 0
    return pooled


@pytest.mark.parametrize("first", [(0, 0, 0), (1, -3, 5)])
def test_scales_are_the_most_frequent_labels_of_aligned_windows(tmp_path: Path, first: tuple[int, int, int]):
    labels, size = labels_of((20, 150, 90)), (30, 10, 10)
    labels[3:9, 40:77, 11:12] = 7
    offset = triple(start * length for start, length in zip(first, size, strict=True))
    save_volume(tmp_path / "a.zarr", labels, voxel_size=size, offset=offset)
    scales = precomputed_scales(labels.shape, size, offset, "a.zarr")
    store = FileStore(
        tmp_path / "tables", {"source": str(tmp_path / "a.zarr")}, shared_precomputed(str(tmp_path / "p"), scales), size
    )
    run_serial(precomputed_tasks(scales), store, rng=np.random.default_rng(1))
    assert [scale.factors for scale in scales] == [(1, 1, 1), (1, 2, 2), (2, 2, 2)]
    np.testing.assert_array_equal(store.outputs["volume"][Box.whole(labels.shape)], labels)
    for number in (1, 2):
        labels = naive_pool(labels, scales[number - 1].first, scales[number].factors)
        assert labels.shape == scales[number].shape
        np.testing.assert_array_equal(store.outputs[f"volume-{number}"][Box.whole(labels.shape)], labels)


def test_shards_are_boxes_and_each_is_a_file(tmp_path: Path):
    scale = PrecomputedScale(LARGE, (8, 8, 8), (0, 4, 9))
    assert scale.shard_shape == (64, 128, 64 * 32)
    volume, labels = SharedPrecomputed(str(tmp_path / "p"), scale), labels_of(LARGE)
    labels[..., 2048:] = 0
    for place in [(0, 0, 1), (0, 0, 0)]:
        box = volume.block(place)
        volume[box] = np.ascontiguousarray(labels[box])
    np.testing.assert_array_equal(volume[Box.whole(LARGE)], labels)
    assert (
        sorted(file.name for file in (tmp_path / "p/8_8_8").iterdir())
        == sorted(volume.names())
        == ["0.shard", "1.shard"]
    )
    volume.discard(volume.block((0, 0, 1)))
    with pytest.raises(FileNotFoundError, match="1.shard is missing"):
        volume[Box.whole(LARGE)]


@given(st.tuples(*[st.integers(1, 5000)] * 3))
def test_the_chunks_of_a_shard_are_those_of_its_box(shape: tuple[int, int, int]):
    scale = PrecomputedScale(shape, (8, 8, 8), (0, 0, 0))
    volume = SharedPrecomputed("p", scale)
    chunks = [length // 64 for length in scale.shard_shape]
    last = Box.tile(triple((n - 1) // c for n, c in zip(scale.grid, chunks, strict=True)), chunks).overlap(
        Box.whole(scale.grid)
    )
    assert len({scale.shard_of(chunk) for chunk in last.voxels()}) == 1
    assert len(set(volume.names())) == len(volume.names())


def test_what_is_not_finished_does_not_open(tmp_path: Path):
    volume = SharedPrecomputed(str(tmp_path / "p"), PrecomputedScale((4, 5, 6), (8, 8, 8), (0, 0, 0)))
    volume[volume.block((0, 0, 0))] = np.ones((4, 5, 6), np.uint64)
    assert volume.exists
    with pytest.raises(InputError, match="info"):
        open_volume(f"precomputed://{tmp_path / 'p'}")


def test_places_between_voxels_are_refused_with_the_nearest():
    with pytest.raises(InputError, match="--offset=40,0,8"):
        precomputed_scales((4, 5, 6), (20, 8, 8), (44, 0, 8), "a.zarr")
