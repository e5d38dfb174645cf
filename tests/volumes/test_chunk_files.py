"""Chunks that do not lie where the metadata say, and codecs that are not known."""

import functools
import http.server
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr

from clew.errors import InputError
from clew.volumes import open_volume
from clew.volumes.formats.chunk_files import NAMES
from clew.volumes.warnings import volume_warnings
from volumes.foreign import write_tensorstore

try:
    from zarr.codecs import numcodecs as renamed
except ImportError:  # zarr before 3.1
    from numcodecs import zarr3 as renamed

DATA = np.random.default_rng(3).integers(1, 60_000, (8, 12, 16), np.uint16)
VOXEL_SIZE = (40.0, 4.0, 4.0)
KEYS = {"0.0.0": ("v2", "."), "0/0/0": ("v2", "/"), "c.0.0.0": ("default", "."), "c/0/0/0": ("default", "/")}


def change(file: Path, **entries) -> None:
    document = json.loads(file.read_text()) | entries
    file.write_text(json.dumps({key: value for key, value in document.items() if value is not ...}))


def values(path) -> np.ndarray:
    return open_volume(path, voxel_size=VOXEL_SIZE).read()


@pytest.mark.parametrize("lie", ["0.0.0", "0/0/0"])
@pytest.mark.parametrize("said", [".", "/", ...])
def test_zarr_2_is_read_as_its_chunks_lie(tmp_path, lie, said):
    name, separator = KEYS[lie]
    keys = {"name": name, "separator": separator}
    zarr.create_array(tmp_path / "a", data=DATA, chunks=(4, 4, 8), zarr_format=2, chunk_key_encoding=keys)
    change(tmp_path / "a/.zarray", dimension_separator=said)
    np.testing.assert_array_equal(values(tmp_path / "a"), DATA)
    assert volume_warnings(open_volume(tmp_path / "a", voxel_size=VOXEL_SIZE)) == []


@pytest.mark.parametrize("lie", NAMES)
@pytest.mark.parametrize("said", NAMES)
def test_zarr_3_is_read_as_its_chunks_lie(tmp_path, lie, said):
    keys = [{"name": name, "separator": separator} for name, separator in (KEYS[lie], KEYS[said])]
    zarr.create_array(tmp_path / "a", data=DATA, chunks=(4, 4, 8), chunk_key_encoding=keys[0])
    encoding = {"name": keys[1]["name"], "configuration": {"separator": keys[1]["separator"]}}
    change(tmp_path / "a/zarr.json", chunk_key_encoding=encoding)
    np.testing.assert_array_equal(values(tmp_path / "a"), DATA)


def test_a_volume_read_as_its_chunks_lie_is_missed_when_it_vanishes(tmp_path):
    keys = {"name": "v2", "separator": "/"}
    zarr.create_array(tmp_path / "a", data=DATA, chunks=(4, 4, 8), zarr_format=2, chunk_key_encoding=keys)
    change(tmp_path / "a/.zarray", dimension_separator=...)
    volume = open_volume(tmp_path / "a", voxel_size=VOXEL_SIZE)
    shutil.move(tmp_path / "a", tmp_path / "b")
    with pytest.raises(InputError, match="no longer there"):
        volume.read()


def renamed_to(path: Path, name) -> None:
    for file in [file for file in path.iterdir() if file.name[0] != "."]:
        target = path / name(file.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)


@pytest.mark.parametrize(
    "name",
    ["0.{}".format, "{}.gz".format, "c/{}".format, lambda name: "9." + name[2:]],
    ids=["rank", "gz", "c", "grid"],
)
def test_chunks_that_are_of_no_array_are_refused(tmp_path, name):
    zarr.create_array(tmp_path / "a", data=DATA, chunks=(4, 4, 8), zarr_format=2)
    renamed_to(tmp_path / "a", name)
    with pytest.raises(
        InputError, match=r"holds none of the 12 chunks that its metadata name, such as 0\.0\.0; it holds"
    ):
        values(tmp_path / "a")


def test_chunks_in_two_ways_are_refused(tmp_path):
    zarr.create_array(tmp_path / "a", data=DATA, chunks=(4, 4, 8), zarr_format=2)
    (tmp_path / "a/0/0").mkdir(parents=True)
    shutil.copy(tmp_path / "a/0.0.0", tmp_path / "a/0/0/0")
    with pytest.raises(InputError, match="holds chunks in two ways, 0.0.0 and 0/0/0"):
        values(tmp_path / "a")


def test_n5_with_flat_chunks_is_refused(tmp_path):
    write_tensorstore("n5", tmp_path / "a", DATA.T, metadata={"blockSize": [8, 4, 4]})
    for file in [file for file in (tmp_path / "a").rglob("*") if file.is_file() and file.name != "attributes.json"]:
        file.rename(tmp_path / "a" / ".".join(file.relative_to(tmp_path / "a").parts))
    for folder in [folder for folder in (tmp_path / "a").iterdir() if folder.is_dir()]:
        shutil.rmtree(folder)
    with pytest.raises(InputError, match="holds chunks named 0.0.0; those of N5 are named 0/0/0"):
        values(tmp_path / "a")


def test_other_files_among_the_chunks_and_an_array_of_nothing(tmp_path):
    zarr.create_array(tmp_path / "a", data=DATA, chunks=(4, 4, 8), zarr_format=2, fill_value=5)
    (tmp_path / "a/README.txt").write_text("notes")
    np.testing.assert_array_equal(values(tmp_path / "a"), DATA)
    for file in (tmp_path / "a").glob("[0-9R]*"):
        file.unlink()
    assert (values(tmp_path / "a") == 5).all()
    said = volume_warnings(open_volume(tmp_path / "a", voxel_size=VOXEL_SIZE))
    assert said == ["12 of 12 chunks are not stored and read as 5"]


def test_metadata_that_are_only_consolidated(tmp_path):
    group = zarr.open_group(tmp_path / "a", mode="w", zarr_format=2)
    group.create_array("b/raw", data=DATA, chunks=(4, 4, 8)).attrs["resolution"] = VOXEL_SIZE
    zarr.consolidate_metadata(tmp_path / "a", zarr_format=2)
    for file in [file for file in (tmp_path / "a").rglob(".z*") if file.name != ".zmetadata"]:
        file.unlink()
    for path in (tmp_path / "a", tmp_path / "a/b/raw"):
        volume = open_volume(path)
        assert volume.voxel_size == VOXEL_SIZE
        np.testing.assert_array_equal(volume.read(), DATA)


@pytest.mark.parametrize("codec", [renamed.Zstd(), renamed.Blosc(), renamed.GZip()], ids=str)
@pytest.mark.parametrize("shards", [None, (8, 12, 16)])
def test_codecs_of_two_names_are_read(tmp_path, codec, shards):
    zarr.create_array(tmp_path / "a", data=DATA, chunks=(4, 4, 8), shards=shards, compressors=[codec])
    np.testing.assert_array_equal(values(tmp_path / "a"), DATA)


def test_blosc_as_java_writes_it_in_n5(tmp_path):
    blosc = {"type": "blosc", "cname": "lz4", "clevel": 6, "shuffle": 0, "blocksize": 0}
    write_tensorstore("n5", tmp_path / "a", DATA.T, metadata={"compression": blosc})
    change(tmp_path / "a/attributes.json", compression=blosc | {"nthreads": 1})
    np.testing.assert_array_equal(values(tmp_path / "a"), DATA)


UNKNOWN = [
    (2, {"compressors": numcodecs.LZ4()}, "compressed by lz4"),
    (2, {"compressors": numcodecs.LZMA()}, "compressed by lzma"),
    (2, {"filters": [numcodecs.Delta("<u2")]}, "the filter delta"),
    (2, {"filters": [numcodecs.FixedScaleOffset(0, 1, "<u2", "<u2")]}, "the filter fixedscaleoffset"),
    (3, {"compressors": [renamed.LZ4()]}, "compressed by numcodecs.lz4"),
    (3, {"filters": [renamed.Delta(dtype="<u2")]}, "compressed by numcodecs.delta"),
]


@pytest.mark.parametrize(("zarr_format", "options", "said"), UNKNOWN, ids=[said for _, _, said in UNKNOWN])
def test_codecs_that_are_not_known_are_named_and_the_advice_works(tmp_path, zarr_format, options, said):
    array = zarr.create_array(tmp_path / "a", data=DATA, chunks=(4, 4, 8), zarr_format=zarr_format, **options)
    array.attrs["resolution"] = VOXEL_SIZE
    with pytest.raises(InputError, match=f"cannot be read: .*{said}, which clew") as caught:
        open_volume(tmp_path / "a")
    command = str(caught.value).partition('python -c "')[2].removesuffix('"')
    subprocess.run([sys.executable, "-c", command], cwd=tmp_path, check=True)
    volume = open_volume(tmp_path / "new.zarr")
    assert volume.voxel_size == VOXEL_SIZE
    np.testing.assert_array_equal(volume.read(), DATA)


@pytest.mark.parametrize("dtype", ["M8[ns]", "c8", [("a", "u1"), ("b", "u2")]], ids=str)
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.filterwarnings("ignore")
def test_types_that_are_no_voxels_are_named(tmp_path, dtype, zarr_format):
    zarr.create_array(tmp_path / "a", shape=(4, 4, 4), dtype=np.dtype(dtype), zarr_format=zarr_format)
    with pytest.raises(InputError, match="holds .*; wanted bool, integers or floats"):
        open_volume(tmp_path / "a", voxel_size=VOXEL_SIZE)


def test_remote_chunks_that_are_named_otherwise_are_refused(tmp_path):
    keys = {"name": "v2", "separator": "/"}
    zarr.create_array(tmp_path / "a", data=DATA, chunks=(4, 4, 8), zarr_format=2, chunk_key_encoding=keys)
    change(tmp_path / "a/.zarray", dimension_separator=...)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        with pytest.raises(InputError, match=r"holds the chunk 1/0/0, where its metadata name 1\.0\.0"):
            open_volume(f"http://127.0.0.1:{running.server_port}/a", voxel_size=VOXEL_SIZE)[5:]
        running.shutdown()
