"""The paper's flood in blocks: approximate, and by how much."""

import numpy as np
import pytest

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.tasks import run_serial
from clew.evaluation.scores import evaluate
from clew.segmentation.fragments import extract_fragments
from clew.segmentation.in_blocks import flood as flood_blocks
from clew.segmentation.in_blocks.segment import memory_store, segmentation_tasks
from clew.segmentation.options import AgglomerationOptions, FragmentOptions, SegmentationOptions
from clew.synthetic.volume import synthesize
from noise import noisy_affinities

OPTIONS = FragmentOptions("seeded-flood")


@pytest.fixture(scope="module")
def affinities():
    return noisy_affinities(synthesize((40, 72, 72), seed=5).labels)


def flooded(affinities, block_shape, options=OPTIONS, mask=None):
    shape = affinities.shape[1:]
    grid = Grid(Domain.whole(shape), block_shape)
    store = memory_store(grid, affinities, mask)
    everything = SegmentationOptions(options, AgglomerationOptions("mean"))
    run_serial(segmentation_tasks(grid, everything, masked=mask is not None), store)
    return store.volumes["fragments"], store.volumes["segmentation"]


def test_one_block_is_the_whole(affinities):
    fragments, _ = flooded(affinities, affinities.shape[1:])
    np.testing.assert_array_equal(fragments, extract_fragments(affinities, options=OPTIONS))


def test_fragments_lie_in_one_block_and_are_named_by_their_first_voxel(affinities):
    mask = np.ones(affinities.shape[1:], bool)
    mask[:, :10] = False
    fragments, _ = flooded(affinities, (40, 36, 36), mask=mask)
    names, firsts = np.unique(fragments, return_index=True)
    assert (fragments[:, :10] == 0).all()
    np.testing.assert_array_equal(names[1:], firsts[1:].astype(np.uint64) + np.uint64(1))
    quarters = [set(np.unique(fragments[:, y : y + 36, x : x + 36])) - {0} for y in (0, 36) for x in (0, 36)]
    assert sum(map(len, quarters)) == len(names) - 1


def difference(affinities, options, block_shape):
    """VOI between the fragments of blocks and those of the whole, cut at the faces."""
    fragments, _ = flooded(affinities, block_shape, options)
    whole = extract_fragments(affinities, options=options)
    z, y, x = (np.arange(length) // edge for length, edge in zip(whole.shape, block_shape, strict=True))
    block = (4 * z[:, None, None] + 2 * y[:, None] + x).astype(np.uint64)
    return evaluate(fragments, np.where(whole == 0, 0, 8 * whole + block)).voi_sum


@pytest.mark.compiled
@pytest.mark.parametrize("block_shape", [(40, 36, 36), (20, 72, 72)])
@pytest.mark.parametrize("per_section", [False, True])
def test_fragments_change_little_at_block_faces(affinities, per_section, block_shape, monkeypatch):
    options = FragmentOptions("seeded-flood", per_section=per_section)
    assert difference(affinities, options, block_shape) < 0.01
    monkeypatch.setattr(flood_blocks, "MARGIN", -20)
    alone = per_section and block_shape[1:] == affinities.shape[2:]
    assert (difference(affinities, options, block_shape) < 0.01) == alone
