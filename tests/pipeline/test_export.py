"""`clew export`: what is written is read back; it is continued, repaired, and never written over what others made."""

import csv
import json
from pathlib import Path

import h5py
import imagecodecs
import numpy as np
import pytest
import tensorstore
import tifffile
import zarr

from clew import pipeline
from clew.blockwise.ledger import Ledger
from clew.blockwise.tasks import Task
from clew.errors import InputError, UnfinishedError
from clew.pipeline._tables import load_merge_tree
from clew.segmentation.relabel import relabel, segment_lookup
from clew.synthetic.volume import synthesize
from clew.volumes.formats.ome_zarr import open_array
from clew.volumes.location import read_bytes, read_json
from clew.volumes.open import open_volume
from clew.volumes.save import save_volume
from object_storage import Server
from readers.chunked_graph import ingest, messages

SIZE, OFFSET = (20.0, 10.0, 10.0), (40.0, 10.0, 30.0)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "segmentation.zarr"
    save_volume(path, synthesize((20, 40, 150), seed=2).labels, voxel_size=SIZE, offset=OFFSET)
    return path


def rows_of(folder: str) -> dict[str, dict[str, float]]:
    """The segment properties of a precomputed volume, by id."""
    inline = (read_json(f"{folder}/segment_properties", "info") or {})["inline"]
    columns = {column["id"]: column["values"] for column in inline["properties"]}
    return {id: {name: values[row] for name, values in columns.items()} for row, id in enumerate(inline["ids"])}


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("where", ["folder", "s3", "google"])
def test_precomputed_is_the_volume_with_scales_and_properties(
    source: Path, tmp_path: Path, where: str, request: pytest.FixtureRequest
):
    volumes = {"folder": None, "s3": "s3://bucket/deep", "google": "gs://bucket/deep"}[where]
    if volumes:
        request.getfixturevalue(where)
    pipeline.export(
        str(source), str(tmp_path / "run"), minimum_size=50, meshes=True, skeletons=True, detail=80.0, volumes=volumes
    )
    path = f"{volumes or tmp_path / 'run'}/precomputed"
    for name in ("mesh", "skeletons"):
        assert read_json(f"{path}/{name}", "info")
        assert read_bytes(f"{path}/{name}", "0.shard")
    found, given = open_volume(path), open_volume(source)
    np.testing.assert_array_equal(found.read(), given.read())
    assert (found.voxel_size, found.offset, found.attributes["stage"]) == (SIZE, OFFSET, "export")
    ids, counts = np.unique(given.read(), return_counts=True)
    voxels = {str(id): count for id, count in zip(ids.tolist(), counts.tolist(), strict=True) if id and count >= 50}
    assert {id: row["voxels"] for id, row in rows_of(path).items()} == voxels
    coarse = open_volume(f"{path}:2")
    assert coarse.voxel_size == (40, 40, 40)
    assert set(np.unique(coarse.read())) <= set(ids)


@pytest.mark.usefixtures("in_this_process")
def test_what_is_there_is_not_written_over(source: Path, tmp_path: Path):
    (tmp_path / "out/precomputed").mkdir(parents=True)
    (tmp_path / "out/precomputed/mine").write_text("precious")
    with pytest.raises(InputError, match="exists and does not belong to a run in"):
        pipeline.export(str(source), str(tmp_path / "out"))
    with pytest.raises(InputError, match="exists and does not belong to a run in .*other: move it away first"):
        pipeline.export(str(source), str(tmp_path / "other"), volumes=str(tmp_path / "out"))
    assert (tmp_path / "out/precomputed/mine").read_text() == "precious"


@pytest.mark.usefixtures("in_this_process")
def test_a_half_written_bucket_is_not_written_over(source: Path, tmp_path: Path, s3: Server):
    pipeline.export(str(source), str(tmp_path / "run"), volumes="s3://bucket/deep")
    with pytest.raises(InputError, match="s3://bucket/deep/precomputed exists and does not belong"):
        pipeline.export(str(source), str(tmp_path / "other"), volumes="s3://bucket/deep")


@pytest.mark.usefixtures("threads")
def test_lost_shards_are_made_again_to_the_same_bits(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = tmp_path / "run"
    pipeline.export(str(source), str(run))
    shard = next((run / "precomputed").glob("*/0.shard"))
    before, done = shard.read_bytes(), Ledger(run).done()
    shard.unlink()
    pipeline.status(str(run))
    assert "lacks 1 of its 1 files" in capsys.readouterr().out
    pipeline.retry(str(run))
    assert shard.read_bytes() == before
    assert Ledger(run).done() == done
    with pytest.raises(InputError, match="begun with other minimum_size"):
        pipeline.export(str(source), str(run), minimum_size=9)


@pytest.mark.parametrize(
    ("data", "message"),
    [(np.ones((2, 3, 4, 5), np.uint8), "must be \\(z, y, x\\)"), (np.full((3, 4, 5), 0.5, np.float32), "fractions")],
)
@pytest.mark.usefixtures("in_this_process")
def test_what_is_no_segmentation_is_refused(tmp_path: Path, data: np.ndarray, message: str):
    save_volume(tmp_path / "a.zarr", data, voxel_size=SIZE)
    with pytest.raises(InputError, match=message):
        pipeline.export(str(tmp_path / "a.zarr"), str(tmp_path / "run"))


@pytest.mark.usefixtures("in_this_process")
def test_info_is_what_other_readers_want(source: Path, tmp_path: Path):
    pipeline.export(str(source), str(tmp_path / "run"))
    info = json.loads((tmp_path / "run/precomputed/info").read_text())
    del info["clew"]
    assert info["scales"][0] == {
        "key": "10_10_20", "size": [150, 40, 20], "resolution": [10.0, 10.0, 20.0], "voxel_offset": [3, 1, 2],
        "chunk_sizes": [[64, 64, 64]], "encoding": "compressed_segmentation", "compressed_segmentation_block_size": [8, 8, 8],
        "sharding": {"@type": "neuroglancer_uint64_sharded_v1", "hash": "identity", "preshift_bits": 2, "minishard_bits": 0,
                     "shard_bits": 0, "minishard_index_encoding": "gzip", "data_encoding": "gzip"},
    }  # fmt: skip
    assert {name: value for name, value in info.items() if name != "scales"} == {
        "@type": "neuroglancer_multiscale_volume", "type": "segmentation", "data_type": "uint64", "num_channels": 1,
        "segment_properties": "segment_properties",
    }  # fmt: skip


@pytest.mark.usefixtures("in_this_process")
def test_precomputed_has_meshes_and_skeletons(source: Path, tmp_path: Path):
    pipeline.export(str(source), str(tmp_path / "run"), meshes=True, skeletons=True, minimum_size=50)
    folder = tmp_path / "run/precomputed"
    info = json.loads((folder / "info").read_text())
    assert (info["mesh"], info["skeletons"]) == ("mesh", "skeletons")
    assert json.loads((folder / "mesh/info").read_text())["@type"] == "neuroglancer_multilod_draco"
    for name in ("mesh", "skeletons"):
        sharding = json.loads((folder / name / "info").read_text())["sharding"]
        spec = {"driver": "neuroglancer_uint64_sharded", "metadata": sharding, "base": f"file://{folder / name}/"}
        found = {int.from_bytes(key, "big") for key in tensorstore.KvStore.open(spec).result().list().result()}
        assert {str(id) for id in found} == rows_of(str(folder)).keys()


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("format", ["ply", "obj", "glb", "swc", "nml"])
def test_each_segment_is_a_file_that_is_made_again_when_lost(source: Path, tmp_path: Path, format: str):
    pipeline.export(str(source), str(tmp_path / "run"), format=format, minimum_size=50, detail=10)
    ids, counts = np.unique(open_volume(source).read(), return_counts=True)
    files = {file.name: file for file in (tmp_path / "run" / format).iterdir()}
    assert files.keys() == {
        f"{id}.{format}" for id, count in zip(ids.tolist(), counts.tolist(), strict=True) if id and count >= 50
    }
    content = files[f"{ids[1]}.{format}"].read_bytes()
    files[f"{ids[1]}.{format}"].unlink()
    pipeline.retry(str(tmp_path / "run"))
    assert files[f"{ids[1]}.{format}"].read_bytes() == content


@pytest.mark.usefixtures("in_this_process")
def test_skeletons_lie_in_their_segments(source: Path, tmp_path: Path):
    pipeline.export(str(source), str(tmp_path / "run"), format="swc", minimum_size=500, detail=10)
    labels = open_volume(source).read()
    for file in (tmp_path / "run/swc").iterdir():
        nodes = np.loadtxt(file, ndmin=2)[:, 4:1:-1] * 1000
        at = np.rint((nodes - OFFSET) / SIZE).astype(int)
        assert (labels[tuple(at.T)] == int(file.stem)).all()


def test_packages_that_are_missing_are_named(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("clew.pipeline._export_segments.NEEDED", {"meshes": ("no_such_package",)})
    with pytest.raises(
        InputError, match=r"need no_such_package, not installed with clew: pip install 'clew\[export\]'"
    ):
        pipeline.export(str(source), str(tmp_path / "run"), meshes=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("in_this_process")
def test_the_table_has_names_and_nuclei(source: Path, tmp_path: Path):
    labels = open_volume(source).read()
    largest, where = np.bincount(labels.ravel().astype(int))[1:].argmax() + 1, tmp_path / "nuclei.zarr"
    save_volume(where, np.pad((labels == largest) * np.uint8(77), 2), voxel_size=SIZE, offset=(0.0, -10.0, 10.0))
    (tmp_path / "names.csv").write_text(f"id,name\n{largest},Anna\n")
    pipeline.export(
        str(source), str(tmp_path / "run"), format="table", segment_names=str(tmp_path / "names.csv"), nuclei=str(where)
    )
    with (tmp_path / "run/table/segments.csv").open() as file:
        rows = {int(row["id"]): row for row in csv.DictReader(file)}
    assert rows.keys() == set(np.unique(labels).tolist()) - {0}
    for id, row in rows.items():
        assert int(row["voxels"]) == (labels == id).sum()
        assert labels[int(row["z"]), int(row["y"]), int(row["x"])] == id
        assert (row["name"], row["nuclei"]) == (("Anna", "77") if id == largest else ("", ""))
    pipeline.export(str(source), str(tmp_path / "two"), segment_names=str(tmp_path / "names.csv"))
    assert rows_of(str(tmp_path / "two/precomputed"))[str(largest)]["label"] == "Anna"


def test_names_that_are_none_are_refused(source: Path, tmp_path: Path):
    (tmp_path / "names.csv").write_text("id;name\n7;Anna\n")
    with pytest.raises(InputError, match=r"names.csv must be a CSV file with the columns id and name.*line 2"):
        pipeline.export(str(source), str(tmp_path / "run"), format="table", segment_names=str(tmp_path / "names.csv"))


@pytest.mark.usefixtures("in_this_process")
def test_sections_are_tiff_files_with_places_of_ids(source: Path, tmp_path: Path):
    pipeline.export(str(source), str(tmp_path / "run"), format="tiff")
    labels, folder = open_volume(source).read(), tmp_path / "run/tiff"
    ids = np.array([0, *np.loadtxt(folder / "ids.csv", np.uint64, delimiter=",", skiprows=1)[:, 1]])
    files = sorted(folder.glob("*.tif"))
    assert len(files) == len(labels)
    np.testing.assert_array_equal(ids[np.stack([tifffile.imread(file) for file in files])], labels)
    with tifffile.TiffFile(files[0]) as file:
        assert (file.imagej_metadata["unit"], file.imagej_metadata["spacing"]) == ("um", 0.02)
        numerator, denominator = file.pages[0].tags["XResolution"].value
        assert numerator / denominator == pytest.approx(100)


@pytest.mark.usefixtures("in_this_process")
def test_a_cremi_file_is_what_the_challenge_reads(source: Path, tmp_path: Path):
    pipeline.export(str(source), str(tmp_path / "run"), format="cremi")
    path = tmp_path / "run/cremi/submission.h5"
    with h5py.File(path) as file:
        found = file["volumes/labels/neuron_ids"]
        assert (file.attrs["file_format"], found.dtype) == ("0.2", np.uint64)
        assert (tuple(found.attrs["resolution"]), tuple(found.attrs["offset"])) == (SIZE, OFFSET)
        np.testing.assert_array_equal(found[:], open_volume(source).read())
    path.unlink()
    pipeline.retry(str(tmp_path / "run"))
    assert path.exists()


@pytest.mark.parametrize("format", ["ply", "swc", "table", "tiff", "cremi"])
def test_files_for_programs_do_not_go_to_a_bucket(source: Path, tmp_path: Path, format: str):
    wanted = f"{format} is read from a disk, not from s3://bucket/place: leave out --volumes, and copy .*run/{format} "
    with pytest.raises(InputError, match=wanted):
        pipeline.export(str(source), str(tmp_path / "run"), format=format, volumes="s3://bucket/place")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(("where", "volumes"), [("s3", "s3://bucket/deep"), ("google", "gs://bucket/deep")])
def test_webknossos_lies_in_a_bucket(
    source: Path, tmp_path: Path, where: str, volumes: str, request: pytest.FixtureRequest
):
    request.getfixturevalue(where)
    pipeline.export(str(source), str(tmp_path / "run"), format="webknossos", volumes=volumes)
    (layer,) = (read_json(f"{volumes}/webknossos", "datasource-properties.json") or {})["dataLayers"]
    finest = open_array(f"{volumes}/webknossos/{layer['mags'][0]['path'].removeprefix('./')}")
    np.testing.assert_array_equal(finest[:].T, open_volume(source).read())
    with pytest.raises(InputError, match="exists and does not belong to a run in .*other: move it away first"):
        pipeline.export(str(source), str(tmp_path / "other"), format="webknossos", volumes=volumes)


@pytest.mark.usefixtures("in_this_process")
def test_a_restart_takes_away_first_what_opens_an_export_in_a_bucket(
    source: Path, tmp_path: Path, s3: Server, monkeypatch: pytest.MonkeyPatch
):
    for format, opener in (("webknossos", "datasource-properties.json"), ("precomputed", "info")):
        given = {"format": format, "volumes": "s3://bucket/deep"}
        pipeline.export(str(source), str(tmp_path / format), **given)
        with monkeypatch.context() as patch, pytest.raises(OSError, match="killed"):
            patch.setattr("clew.volumes.location.remove_remote", _killed)
            pipeline.export(str(source), str(tmp_path / format), restart=True, **given)
        assert read_bytes(f"s3://bucket/deep/{format}", opener) is None
        pipeline.export(str(source), str(tmp_path / format), **given)
        assert read_bytes(f"s3://bucket/deep/{format}", opener)


def _killed(folder: str) -> None:
    raise OSError("killed")


@pytest.mark.usefixtures("in_this_process")
def test_webknossos_has_dense_fragments_and_what_makes_up_a_segment(expected: Path, tmp_path: Path):
    tree = load_merge_tree(str(expected / "merge_tree.h5"))[0]
    pipeline.export(
        str(expected / "fragments.zarr"), str(tmp_path / "run"), format="webknossos",
        merge_tree=str(expected / "merge_tree.h5"), threshold=0.4,
    )  # fmt: skip
    folder = tmp_path / "run/webknossos"
    (layer,) = json.loads((folder / "datasource-properties.json").read_text())["dataLayers"]
    fragments = open_volume(expected / "fragments.zarr").read()
    dense = np.searchsorted(tree.fragments, fragments) + 1
    found = zarr.open_array(folder / layer["mags"][0]["path"], mode="r")
    assert found.metadata.dimension_names == ("x", "y", "z")
    np.testing.assert_array_equal(found[:].T, np.where(fragments == 0, 0, dense))
    assert (layer["boundingBox"]["width"], layer["largestSegmentId"]) == (fragments.shape[2], len(tree.fragments))
    attachment = folder / layer["attachments"]["agglomerates"][0]["path"]
    of = zarr.open_array(attachment / "segment_to_agglomerate", mode="r")[:]
    assert len(np.unique(of[1:])) == len(np.unique(segment_lookup(tree, 0.4)))
    positions = zarr.open_array(attachment / "agglomerate_to_positions", mode="r")[:]
    members = zarr.open_array(attachment / "agglomerate_to_segments", mode="r")[:]
    np.testing.assert_array_equal(found[:][tuple(positions.T)], members)
    (next(folder.glob("segmentation.zarr/s0/c/0/0/0"))).unlink()
    pipeline.status(str(tmp_path / "run"))
    pipeline.retry(str(tmp_path / "run"))
    np.testing.assert_array_equal(found[:].T, np.where(fragments == 0, 0, dense))


@pytest.mark.usefixtures("in_this_process")
def test_webknossos_takes_a_segmentation_as_it_is(source: Path, tmp_path: Path):
    pipeline.export(str(source), str(tmp_path / "run"), format="webknossos")
    (layer,) = json.loads((tmp_path / "run/webknossos/datasource-properties.json").read_text())["dataLayers"]
    assert "attachments" not in layer
    assert [mag["mag"] for mag in layer["mags"]] == [[1, 1, 1], [2, 2, 1], [4, 4, 2]]
    save_volume(tmp_path / "large.zarr", np.full((2, 3, 4), 2**60, np.uint64), voxel_size=SIZE)
    with pytest.raises(InputError, match="WEBKNOSSOS knows those up to"):
        pipeline.export(str(tmp_path / "large.zarr"), str(tmp_path / "two"), format="webknossos")


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("where", ["folder", "s3"])
def test_pychunkedgraph_joins_what_the_merge_tree_does(
    affinities: Path, expected: Path, tmp_path: Path, where: str, request: pytest.FixtureRequest
):
    if where == "s3":
        request.getfixturevalue("s3")
    volumes = {"folder": None, "s3": "s3://bucket/deep"}[where]
    tree = str(expected / "merge_tree.h5")
    pipeline.export(
        str(expected / "fragments.zarr"), str(tmp_path / "run"), format="pychunkedgraph", volumes=volumes,
        merge_tree=tree, threshold=0.4, affinities=str(affinities), chunk_shape=(16, 16, 32),
    )  # fmt: skip
    path = f"{volumes or tmp_path / 'run'}/pychunkedgraph"
    supervoxels, fragments = open_volume(f"{path}/watershed").read(), open_volume(expected / "fragments.zarr").read()
    assert ((supervoxels == 0) == (fragments == 0)).all()
    if where == "s3":
        assert read_bytes(f"{path}/edges", "edges_1_2_0.proto.zst")
        return
    found = ingest(Path(path), messages(), imagecodecs.zstd_decode)
    assert found.objects.keys() == set(np.unique(supervoxels[supervoxels > 0]).tolist())
    objects = np.vectorize(found.objects.get, otypes=[np.uint64])(
        np.maximum(supervoxels, supervoxels[supervoxels > 0].min())
    )
    merges = load_merge_tree(tree)[0]
    segments = relabel(fragments, merges.fragments, segment_lookup(merges, 0.4))
    assert (pairs := np.unique(np.stack([segments, objects])[:, fragments > 0], axis=1).shape[1])
    assert pairs == len(np.unique(segments[segments > 0])) == len(set(found.objects.values()))
    lost = next((tmp_path / "run/pychunkedgraph/components").iterdir())
    content = lost.read_bytes()
    lost.unlink()
    pipeline.retry(str(tmp_path / "run"))
    assert lost.read_bytes() == content


def test_pychunkedgraph_wants_affinities(source: Path, tmp_path: Path):
    with pytest.raises(InputError, match="needs the affinities of which the fragments were made.*give --affinities"):
        pipeline.export(str(source), str(tmp_path / "run"), format="pychunkedgraph")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("format", ["precomputed", "webknossos", "pychunkedgraph", "glb"])
def test_an_export_that_was_stopped_goes_on_to_the_same_bytes(
    affinities: Path, expected: Path, tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
):
    given = {"pychunkedgraph": {"affinities": str(affinities), "chunk_shape": (16, 32, 32)}}.get(format, {})

    def write(folder: str, **more: bool) -> dict[str, bytes]:
        pipeline.export(str(expected / "fragments.zarr"), str(tmp_path / folder), format=format, **given, **more)
        files = [file for file in sorted((tmp_path / folder / format).rglob("*")) if file.is_file()]
        return {str(file.relative_to(tmp_path / folder)): file.read_bytes() for file in files}

    wanted, mark, done = write("whole"), Ledger.mark, []

    def stop(ledger: Ledger, task: Task) -> None:
        if len(done) == 1:
            raise OSError("stopped")
        done.append(task)
        mark(ledger, task)

    def write_half(**more: bool) -> None:
        done.clear()
        with monkeypatch.context() as patch, pytest.raises(UnfinishedError, match="then clew retry"):
            patch.setattr(Ledger, "mark", stop)
            write("stopped", **more)
        assert not [name for name in opened if (tmp_path / "stopped" / format / name).exists()]

    opened = ("info", "datasource-properties.json", "dataset.yml")
    write_half()
    found = write("stopped")
    assert found.keys() == wanted.keys()
    records = [name for name in found if name.endswith((*opened, "zarr.json"))]
    assert [name for name in found if found[name] != wanted[name] and name not in records] == []
    write_half(restart=True)
