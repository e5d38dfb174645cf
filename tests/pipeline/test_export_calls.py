"""`clew export` called in rare ways, which give what is right, and in ways that cannot be meant: one line, nothing written."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from clew import pipeline
from clew.errors import InputError
from clew.volumes.location import read_json
from clew.volumes.open import open_volume
from clew.volumes.save import save_volume

FAR = np.uint64(2**63)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four boxes with ids that no float holds, anisotropic, and away from the origin."""
    path = tmp_path_factory.mktemp("source") / "segmentation.zarr"
    _, y, x = np.indices((3, 12, 20))
    labels = (1 + y // 6 + 2 * (x // 10)).astype(np.uint64) + FAR
    save_volume(path, labels, voxel_size=(40, 20, 20), offset=(80, -40, 60))
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "glb", "skeletons": True}, "--skeletons is for precomputed, not for glb: leave it out$"),
        ({"format": "swc", "threshold": 0.5}, "--threshold is for .* not for swc: leave it out; clew relabel makes"),
        ({"chunk_shape": (8, 8, 8)}, "--chunk-shape is for pychunkedgraph, not for precomputed"),
        ({"format": "webknossos", "threshold": 0.5}, "--threshold says where a merge tree is cut: give --merge-tree"),
        ({"volumes": "https://a.org/b"}, "https://a.org/b can only be read: give --volumes a folder"),
    ],
)
def test_options_that_would_change_nothing_are_refused(
    source: Path, tmp_path: Path, options: dict[str, Any], message: str
):
    with pytest.raises(InputError, match=message):
        pipeline.export(str(source), str(tmp_path / "run"), **options)
    assert not (tmp_path / "run").exists()


def test_places_that_cannot_be_meant_are_refused(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match="s3://bucket/x cannot keep the state of the run: .* and --volumes s3://bucket/x"
    ):
        pipeline.export(str(source), "s3://bucket/x")
    with pytest.raises(InputError, match="out lies in the input .*segmentation.zarr: give another place"):
        pipeline.export(str(source), str(source / "out"))
    assert not list(tmp_path.iterdir())
    assert not (source / "out").exists()


def test_a_run_that_is_not_finished_is_no_source(source: Path, tmp_path: Path):
    save_volume(tmp_path / "segmentation.zarr", open_volume(source).read(), voxel_size=(40, 20, 20))
    (tmp_path / "segmentation.zarr/zarr.json").unlink()
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(InputError, match="segmentation.zarr is not finished: clew status .* says how far it is"):
        pipeline.export(str(tmp_path / "segmentation.zarr"), str(tmp_path / "out"), voxel_size=(40, 20, 20))


@pytest.mark.parametrize(
    ("rows", "message"), [("7,a\n7,b", "line 3: 7 has two names, 'a' and 'b'"), ("-1,a", "line 2: -1 is not from 1 to")]
)
def test_names_that_cannot_be_meant_are_refused(source: Path, tmp_path: Path, rows: str, message: str):
    (tmp_path / "names.csv").write_text(f"id,name\n{rows}\n")
    with pytest.raises(InputError, match=message):
        pipeline.export(str(source), str(tmp_path / "run"), format="table", segment_names=str(tmp_path / "names.csv"))


@pytest.mark.usefixtures("in_this_process")
def test_large_ids_and_one_section_stay_what_they_are(source: Path, tmp_path: Path):
    labels = open_volume(source).read()[:1]
    save_volume(tmp_path / "one.zarr", labels, voxel_size=(40, 20, 20), offset=(80, -40, 60))
    for format in ("precomputed", "table", "tiff"):
        pipeline.export(str(tmp_path / "one.zarr"), str(tmp_path / format), format=format)
    found = open_volume(tmp_path / "precomputed/precomputed")
    np.testing.assert_array_equal(found.read(), labels)
    assert (found.voxel_size, found.offset) == ((40, 20, 20), (80, -40, 60))
    ids = [str(id) for id in np.unique(labels).tolist()]
    properties = read_json(str(tmp_path / "precomputed/precomputed/segment_properties"), "info") or {}
    assert properties["inline"]["ids"] == ids
    with (tmp_path / "table/table/segments.csv").open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == ids
    places = np.array([0, *np.unique(labels)], np.uint64)
    np.testing.assert_array_equal(places[tifffile.imread(tmp_path / "tiff/tiff/section_000000.tif")], labels[0])


@pytest.mark.usefixtures("in_this_process")
def test_an_empty_segmentation_is_an_empty_export(tmp_path: Path):
    save_volume(tmp_path / "empty.zarr", np.zeros((3, 12, 20), np.uint64), voxel_size=(40, 20, 20))
    for format, more in (
        ("precomputed", {"meshes": True, "skeletons": True}),
        ("glb", {}),
        ("table", {}),
        ("tiff", {}),
    ):
        pipeline.export(str(tmp_path / "empty.zarr"), str(tmp_path / format), format=format, **more)
    assert not open_volume(tmp_path / "precomputed/precomputed").read().any()
    assert list((tmp_path / "glb/glb").iterdir()) == []
    assert len((tmp_path / "table/table/segments.csv").read_text().splitlines()) == 1
    assert not tifffile.imread(tmp_path / "tiff/tiff/section_000002.tif").any()
