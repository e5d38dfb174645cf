import numpy as np
import pytest

from clew.errors import InputError
from clew.evaluation import overlap
from clew.evaluation.errors import largest_errors, locate_errors
from clew.evaluation.overlap import OverlapTable, overlap_table
from clew.evaluation.scores import score_table


def volumes():
    truth = np.zeros((2, 4, 12), np.uint64)
    truth[:, :, :6], truth[:, :, 6:] = 1, 2**63
    segmentation = truth * 0 + 10
    segmentation[:, :, 4:6] = 11
    segmentation[1, 3, 0] = 12
    return segmentation, truth


def test_largest_errors_name_ids_voxels_and_cost():
    table = overlap_table(*volumes())
    splits, merges = largest_errors(table)
    assert [(e.kind, e.label, e.parts, e.voxels) for e in splits] == [("split", 1, (10, 11, 12), (31, 16, 1))]
    assert [(e.kind, e.label, e.parts, e.voxels) for e in merges] == [("merge", 10, (2**63, 1), (48, 31))]
    scores = score_table(table)
    assert splits[0].bits == pytest.approx(scores.voi_split)
    assert merges[0].bits == pytest.approx(scores.voi_merge)
    assert largest_errors(table, 0) == ([], [])


def test_costs_add_up_and_fall():
    rng = np.random.default_rng(0)
    segmentation, truth = rng.integers(0, 9, (2, 5, 6, 7))
    table = overlap_table(segmentation, truth)
    splits, merges = largest_errors(table, 100)
    scores = score_table(table)
    assert sum(e.bits for e in splits) == pytest.approx(scores.voi_split)
    assert sum(e.bits for e in merges) == pytest.approx(scores.voi_merge)
    for errors in (splits, merges):
        assert [e.bits for e in errors] == sorted((e.bits for e in errors), reverse=True)


def test_errors_are_located(monkeypatch):
    segmentation, truth = volumes()
    splits, merges = largest_errors(overlap_table(segmentation, truth))
    monkeypatch.setattr(overlap, "_SLAB", 48)
    split, merge, again = locate_errors(segmentation, truth, [*splits, *merges, *splits])
    assert split == again
    assert (split.voxels, split.centroid, split.low, split.high) == (16, (0.5, 1.5, 4.5), (0, 0, 4), (2, 4, 6))
    here = np.argwhere((segmentation == 10) & (truth == 1))
    assert merge.centroid == pytest.approx(here.mean(axis=0))
    assert (merge.low, merge.high) == (tuple(here.min(axis=0)), tuple(here.max(axis=0) + 1))
    assert locate_errors(segmentation, truth, splits, part=2)[0].low == (1, 3, 0)
    assert locate_errors(segmentation, truth, []) == []


def test_bad_input_is_refused():
    empty = OverlapTable(np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.int64))
    with pytest.raises(InputError, match="annotated"):
        largest_errors(empty)
    segmentation, truth = volumes()
    splits, _ = largest_errors(overlap_table(segmentation, truth))
    with pytest.raises(InputError, match="part"):
        locate_errors(segmentation, truth, splits, part=3)
