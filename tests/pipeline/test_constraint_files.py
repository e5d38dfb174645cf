"""Constraints from files: `segment`, `segment-blocks` and the steps give one result, and each cut keeps them."""

from pathlib import Path

import numpy as np
import pytest

import clew
from clew import cli, pipeline
from clew.errors import InputError
from clew.pipeline._tables import load_merge_tree

NML = """<things><parameters><scale x="8" y="8" z="8"/></parameters>
<thing id="1"><nodes><node id="1" x="1" y="1" z="1"/></nodes><edges/></thing>
<thing id="2"><nodes><node id="2" x="22" y="1" z="1"/><node id="3" x="14" y="1" z="1"/></nodes><edges/></thing></things>"""
"""Skeleton 1 in the first of four cubes in a row, skeleton 2 in the last two."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four cubes in a row, the middle contact the weakest; ids in the first and the last."""
    monkeypatch.chdir(tmp_path)
    affinities = np.full((3, 6, 6, 24), 255, np.uint8)
    affinities[2, :, :, [6, 12, 18]] = np.array([120, 90, 110])[:, None, None]
    affinities[0, :, :, [5, 6, 11, 12, 17, 18]] = affinities[1, :, :, [5, 6, 11, 12, 17, 18]] = 0
    nuclei = np.zeros((6, 6, 24), np.uint32)
    nuclei[2:4, 2:4, 2:4], nuclei[2:4, 2:4, 20:22] = 7, 8
    for path, values in (("affinities.zarr", affinities), ("nuclei.zarr", nuclei)):
        clew.save_volume(path, values, voxel_size=(8, 8, 8))
    (tmp_path / "traced.nml").write_text(NML)
    (tmp_path / "traced").mkdir()
    (tmp_path / "traced" / "1.swc").write_text("1 0 0.008 0.008 0.008 1 -1")
    (tmp_path / "traced" / "2.swc").write_text("1 0 0.176 0.008 0.008 1 -1\n2 0 0.112 0.008 0.008 1 1")
    return tmp_path


def segments(path: str) -> list[int]:
    """Number of the segment of each of the four cubes."""
    return np.unique(clew.open_volume(path)[:][3, 3, [3, 9, 15, 21]], return_inverse=True)[1].tolist()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--threshold", "1"], [0, 0, 0, 0]),
        (["--threshold", "1", "--cannot-link", "nuclei.zarr"], [0, 0, 1, 1]),
        (["--threshold", "1", "--cannot-link", "traced.nml"], [0, 0, 1, 1]),
        (["--must-link", "traced.nml", "--threshold", "0"], [0, 1, 2, 2]),
        (["--threshold", "1", "--cannot-link", "traced", "--swc-unit", "um"], [0, 0, 1, 1]),
    ],
)
def test_whole_and_blocks_are_one(folder: Path, options: list[str], expected: list[int]):
    chosen = ["--score", "mean", *options]
    cli.main(["segment", "affinities.zarr", "whole", *chosen])
    cli.main(["segment-blocks", "affinities.zarr", "blocks", "--block-shape", "4,6,9", "--workers", "1", *chosen])
    assert segments("whole/segmentation.zarr") == segments("blocks/segmentation.zarr") == expected
    whole, blocks = (load_merge_tree(f"{name}/merge_tree.h5")[0] for name in ("whole", "blocks"))
    for column in ("merges", "scores", "must_link", "cannot_link"):
        np.testing.assert_array_equal(getattr(whole, column), getattr(blocks, column))


def test_nodes_of_two_skeletons_divide_a_fragment(folder: Path):
    """Skeleton 1 has a node in the last cube, too, so that its fragment holds both: the same whole and in blocks."""
    Path("both.nml").write_text(NML.replace("</nodes>", '<node id="9" x="19" y="4" z="4"/></nodes>', 1))
    options = ["--cannot-link", "both.nml", "--score", "mean", "--threshold", "1"]
    cli.main(["segment", "affinities.zarr", "whole", *options])
    cli.main(["segment-blocks", "affinities.zarr", "blocks", "--block-shape", "4,6,9", "--workers", "1", *options])
    whole, blocks = (clew.open_volume(f"{name}/fragments.zarr")[:] for name in ("whole", "blocks"))
    np.testing.assert_array_equal(whole, blocks)
    assert whole[4, 4, 19] != whole[1, 1, 22]
    whole, blocks = (clew.open_volume(f"{name}/segmentation.zarr")[:] for name in ("whole", "blocks"))
    np.testing.assert_array_equal(whole, blocks)
    assert whole[4, 4, 19] != whole[1, 1, 22] == whole[1, 1, 14]


def test_dust_of_a_stored_tree_obeys(folder: Path):
    pipeline.segment("affinities.zarr", "run", threshold=0.0, cannot_link="nuclei.zarr", score="mean")
    pipeline.relabel("run/fragments.zarr", "run/merge_tree.h5", "joined.zarr", threshold=0.0, minimum_size=10**6,
                     region_graph="run/region_graph.h5")  # fmt: skip
    assert segments("joined.zarr") == [0, 0, 1, 1]


def test_no_fragment_is_made_with_two_ids_and_one_that_was_is_told(folder: Path, capsys: pytest.CaptureFixture[str]):
    nuclei = clew.open_volume("nuclei.zarr")[:]
    nuclei[0, 0, 0] = 8
    clew.save_volume("overlapping.zarr", nuclei, voxel_size=(8, 8, 8))
    pipeline.segment("affinities.zarr", "run", cannot_link="overlapping.zarr", threshold=1.0)
    assert "hold several ids" not in capsys.readouterr().err
    segmentation = clew.open_volume("run/segmentation.zarr")[:]
    assert segmentation[0, 0, 0] != segmentation[3, 3, 3]
    method = {"method": "affinity-watershed", "cannot_link": "overlapping.zarr"}
    pipeline.segment("affinities.zarr", "other", threshold=1.0, **method)
    assert "1 fragments hold several ids" in capsys.readouterr().err
    with pytest.raises(InputError, match="seeded-forest only"):
        pipeline.extract_fragments("affinities.zarr", "alone.zarr", **method)


def test_what_is_missing_is_named(folder: Path):
    pipeline.segment("affinities.zarr", "run", threshold=0.5)
    with pytest.raises(InputError, match="give --fragments"):
        pipeline.agglomerate("run/region_graph.h5", "tree.h5", cannot_link="nuclei.zarr")
    with pytest.raises(InputError, match="takes skeletons"):
        pipeline.agglomerate("run/region_graph.h5", "tree.h5", must_link="nuclei.zarr", fragments="run/fragments.zarr")
    assert not Path("tree.h5").exists()
    for option in ({"must_link": "nuclei.zarr"}, {"cannot_link": "affinities.zarr"}):
        with pytest.raises(InputError, match=r"takes skeletons|one volume"):
            pipeline.segment("affinities.zarr", "other", threshold=0.5, **option)
    with pytest.raises(InputError, match="does not say its unit"):
        pipeline.segment("affinities.zarr", "other", threshold=0.5, cannot_link="traced")
    assert not Path("other").exists()


def test_blocks_are_verified_under_constraints(folder: Path, capsys: pytest.CaptureFixture[str]):
    given = {"cannot_link": "nuclei.zarr", "must_link": "traced.nml", "score": "mean", "threshold": 1.0}
    pipeline.verify_blocks("affinities.zarr", trials=2, box=":,:,0:18", **given)
    assert capsys.readouterr().out.count("identical") == 2
