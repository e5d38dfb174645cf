"""Ids beyond 2⁵³, where floats and JavaScript round, come out of every command as they went in."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from clew import open_volume, pipeline, save_volume
from clew.pipeline._tables import load_merge_tree, load_region_graph

LARGE = np.array(
    [0, 2**53, 2**53 + 1, 2**60 + 1, 2**60 + 2, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 5, 2**64 - 4], np.uint64
)
"""Neighbours that a float would take for one."""
SMALL = (
    np.random.default_rng(0)
    .integers(0, 10, (12, 16, 16), np.uint64)
    .repeat(3, 0)[:12]
    .repeat(4, 1)[:, :16]
    .repeat(4, 2)[:, :, :16]
)
OTHER = np.roll(SMALL, 1, 2)


def paths(folder, form, name):
    small, large = f"{folder}/small-{name}", f"{folder}/large-{name}"
    data = {"truth": SMALL, "found": OTHER}[name]
    for place, ids in ((small, data), (large, LARGE[data])):
        save_volume(f"{place}.zarr" if form == "zarr" else f"{place}.h5:ids", ids, voxel_size=(8, 8, 8))
    return [f"{place}.zarr" if form == "zarr" else f"{place}.h5:ids" for place in (small, large)]


@pytest.mark.parametrize("form", ["zarr", "hdf5"])
def test_copies_and_their_coarser_scales_hold_them(tmp_path, form):
    _, large = paths(tmp_path, form, "truth")
    pipeline.convert(large, str(tmp_path / "copy.zarr"), box="2:9,:,:")
    np.testing.assert_array_equal(open_volume(tmp_path / "copy.zarr").read(), LARGE[SMALL[2:9]])
    wide = [str(tmp_path / f"wide-{name}.zarr") for name in ("small", "large")]
    for path, ids in zip(wide, (SMALL, LARGE[SMALL]), strict=True):
        save_volume(path, np.tile(ids, (1, 1, 6)), voxel_size=(8, 8, 8))
        pipeline.convert_blocks(path, path.replace(".zarr", ""), workers=1)
    coarse = [open_volume(path.replace(".zarr", "/volume.zarr:1")).read() for path in wide]
    np.testing.assert_array_equal(coarse[1], LARGE[coarse[0]])


@pytest.mark.parametrize("options", [{}, {"components": True}, {"border": 8.0}])
def test_scores_do_not_depend_on_the_size_of_ids(tmp_path, options):
    (found, large_found), (truth, large_truth) = (paths(tmp_path, "hdf5", name) for name in ("found", "truth"))
    scores = pipeline.evaluate(found, truth, **options)[0][1]
    assert scores.voi_sum > 0
    assert pipeline.evaluate(large_found, large_truth, **options)[0][1] == scores


def test_skeletons_and_their_tables_hold_them(tmp_path):
    small, large = paths(tmp_path, "zarr", "found")
    nodes = "".join(f'<node id="{2**53 + x}" x="{x}" y="2" z="3"/>' for x in range(16))
    edges = "".join(f'<edge source="{2**53 + x}" target="{2**53 + x + 1}"/>' for x in range(15))
    tree = f'<thing id="{2**53 + 1}"><nodes>{nodes}</nodes><edges>{edges}</edges></thing>'
    text = f'<things><parameters><scale x="8" y="8" z="8"/></parameters>{tree}</things>'
    (tmp_path / "s.nml").write_text(text)
    rows = [
        pipeline.evaluate_skeletons(path, str(tmp_path / "s.nml"), json=f"{path}.json")[0] for path in (small, large)
    ]
    assert rows[0].scores == rows[1].scores
    assert rows[0].scores.splits > 0
    scores = json.loads(Path(f"{large}.json").read_text())["scores"]
    assert scores[0]["skeletons"][0]["skeletons"] == 2**53 + 1


def test_tables_and_segments_hold_them(tmp_path):
    small, large = paths(tmp_path, "hdf5", "truth")
    affinities = np.random.default_rng(1).integers(0, 256, (3, *SMALL.shape), np.uint8)
    save_volume(tmp_path / "a.zarr", affinities, voxel_size=(8, 8, 8), attributes={"value_range": [0, 255]})
    for name, path in (("small", small), ("large", large)):
        graph, tree = str(tmp_path / f"{name}-graph.h5"), str(tmp_path / f"{name}-tree.h5")
        pipeline.build_region_graph(str(tmp_path / "a.zarr"), path, graph)
        pipeline.agglomerate(graph, tree, score="mean")
        pipeline.relabel(
            path, tree, str(tmp_path / f"{name}.zarr"), threshold=0.45, region_graph=graph, minimum_size=20
        )
    np.testing.assert_array_equal(
        load_region_graph(str(tmp_path / "large-graph.h5"))[0].edges,
        LARGE[load_region_graph(str(tmp_path / "small-graph.h5"))[0].edges],
    )
    trees = [load_merge_tree(str(tmp_path / f"{name}-tree.h5"))[0] for name in ("small", "large")]
    np.testing.assert_array_equal(trees[1].merges, LARGE[trees[0].merges])
    found = [open_volume(tmp_path / f"{name}.zarr").read() for name in ("small", "large")]
    assert len(np.unique(found[0])) > 2
    np.testing.assert_array_equal(found[1], LARGE[found[0]])
    with h5py.File(tmp_path / "large-graph.h5") as file:
        assert file["fragments"][-1] == 2**64 - 4
