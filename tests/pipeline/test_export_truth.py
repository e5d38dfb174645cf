"""`clew export-truth`: what is done is annotated, what is not is not, and training reads the file as it is."""

from pathlib import Path

import numpy as np
import pytest

import clew
from clew import pipeline
from clew.errors import InputError
from clew.pipeline._annotated import read_annotated
from clew.synthetic.volume import synthesize
from noise import noisy_affinities

PLACE = {"voxel_size": (8.0, 8.0, 8.0)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a part of raw, which begins at voxel (2, 4, 0)."""
    folder = tmp_path_factory.mktemp("proofread")
    volume = synthesize((20, 32, 40), seed=3)
    clew.save_volume(folder / "raw.zarr", volume.raw, **PLACE)
    values = noisy_affinities(volume.labels[2:, 4:])
    attributes = {"offsets": [(-1, 0, 0), (0, -1, 0), (0, 0, -1)], "parameters": {"raw": str(folder / "raw.zarr")}}
    clew.save_volume(folder / "affinities.zarr", values, **PLACE, offset=(16, 32, 0), attributes=attributes)
    pipeline.segment(str(folder / "affinities.zarr"), str(folder / "run"), threshold=0.5)
    with clew.open_edits(folder / "run") as edits:
        ids, counts = np.unique(edits.read_fragments(), return_counts=True)
        large = ids[ids > 0][np.argsort(-counts[ids > 0])[:6]]
        voxels = [tuple(np.argwhere(edits.read_fragments() == fragment)[0].tolist()) for fragment in large]
        edits.merge(voxels[0], voxels[1])
        for voxel in (voxels[0], voxels[2]):
            edits.mark_done(voxel)
        edits.mark_seen(voxels[3], voxels[4])
    return folder / "run"


@pytest.mark.parametrize("box", [None, "3:15,2:20,5:30"])
def test_only_what_is_done_is_annotated(run: Path, tmp_path: Path, box: str | None):
    pipeline.export_truth(str(run), str(tmp_path / "truth.h5"), box=box)
    found = read_annotated(str(tmp_path / "truth.h5"))
    part = tuple(slice(*map(int, axis.split(":"))) for axis in box.split(",")) if box else np.s_[:, :, :]
    with clew.open_edits(run, read_only=True) as edits:
        corrected, done = edits.apply(), list(edits.done())
        segments = clew.relabel(edits.read_fragments(part), corrected.fragments, corrected.lookup)
    inside = np.isin(segments, done)
    assert 0 < inside.sum() < inside.size
    assert len(done) == 2
    low = np.array([axis.start or 0 for axis in part]) + np.array([2, 4, 0]) - found.origin
    there = tuple(slice(at, at + size) for at, size in zip(low, inside.shape, strict=True))
    np.testing.assert_array_equal(found.volume.mask[there], inside)
    np.testing.assert_array_equal(found.volume.labels[there], np.where(inside, segments, 0))
    assert found.volume.mask.sum() == inside.sum()
    raw = clew.open_volume(run.parent / "raw.zarr").read()
    np.testing.assert_array_equal(found.volume.raw, raw, "raw is whole around a small part")


def test_what_cannot_be_exported_is_said_and_nothing_is_written(run: Path, tmp_path: Path):
    truth = str(tmp_path / "truth.h5")
    for wrong, message in (
        ({"box": "0:1,0:1,0:1"}, "no segment in 0:1,0:1,0:1 is done: 2 are"),
        ({"threshold": 0.01}, "at threshold 0.01"),
        ({"box": "0:99,:,:"}, "leaves the volume"),
        ({"edits": str(tmp_path / "none.sqlite")}, "there are no edits to read"),
    ):
        with pytest.raises(InputError, match=message):
            pipeline.export_truth(str(run), truth, **wrong)
    with pytest.raises(InputError, match="must end in .h5"):
        pipeline.export_truth(str(run), str(tmp_path / "truth.zarr"))
    with pytest.raises(InputError, match="no folder of a run"):
        pipeline.export_truth(str(tmp_path), truth)
    assert list(tmp_path.iterdir()) == []


def test_done_segments_that_touch_no_other_are_warned_of(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    other = str(tmp_path / "other.sqlite")
    with clew.open_edits(run, edits=other) as edits:
        edits.mark_done(tuple(np.argwhere(edits.read_fragments() > 0)[0].tolist()))
    pipeline.export_truth(str(run), str(tmp_path / "truth.h5"), edits=other)
    assert "nothing says where a border is" in capsys.readouterr().err
