"""Written volumes: whole or not at all, and readable by others."""

import errno
import json
import os
import resource
import subprocess
import sys

import h5py
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import InputError
from clew.replace import written_beside
from clew.volumes import affinity_attributes, boxes, create_volume, open_volume, save_volume
from clew.volumes.formats.ome_zarr import shard_shape

VOXEL_SIZE = (40.0, 4.24, 4.0)
OFFSET = (80.0, -1.5, 0.25)
DTYPES = ("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32")


def asymmetric(dtype="uint16", shape=(5, 7, 11)):
    """Every voxel differs from its neighbours, and no axis has the length of another."""
    return (np.arange(np.prod(shape)) % 251).reshape(shape).astype(dtype)


@pytest.mark.parametrize("name", ["a.zarr", "a.h5", "a.h5:volumes/raw", "a.zarr/affinities", "a.zarr:inner"])
@pytest.mark.parametrize("shape", [(5, 7, 11), (3, 70, 65, 9)])
def test_round_trip(tmp_path, name, shape):
    data = asymmetric("uint64", shape) + np.uint64(2**63)
    save_volume(f"{tmp_path}/{name}", data, voxel_size=VOXEL_SIZE, offset=OFFSET, attributes={"stage": "test"})
    with open_volume(f"{tmp_path}/{name}") as volume:
        assert (volume.voxel_size, volume.offset) == (VOXEL_SIZE, OFFSET)
        assert volume.axes == ("zyx" if len(shape) == 3 else "czyx")
        assert (volume.shape, volume.dtype) == (shape, np.uint64)
        np.testing.assert_array_equal(volume.read(), data)
        np.testing.assert_array_equal(volume[..., 1:3, -4:-1], data[..., 1:3, -4:-1])
        np.testing.assert_array_equal(volume[0, ..., ::2], data[0, ..., ::2])
        np.testing.assert_array_equal(volume[..., 3:3], data[..., 3:3])
        assert volume[...].flags.c_contiguous
        assert volume.attributes["stage"] == "test"
        assert {"version", "created"} <= set(volume.attributes)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["a.zarr", "a.h5:x"])
def test_every_dtype(tmp_path, name, dtype):
    data = asymmetric(dtype)
    save_volume(f"{tmp_path}/{name}", data, voxel_size=VOXEL_SIZE)
    read = open_volume(f"{tmp_path}/{name}").read()
    assert read.dtype == data.dtype
    np.testing.assert_array_equal(read, data)


def test_zarr_python_reads_our_ome_zarr(tmp_path):
    data = asymmetric("float32", (3, 5, 7, 11))
    save_volume(tmp_path / "a.zarr", data, voxel_size=VOXEL_SIZE, offset=OFFSET, attributes={"stage": "predict"})
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    ome = group.attrs["ome"]
    assert ome["version"] == "0.5"
    image = ome["multiscales"][0]
    assert [axis["name"] for axis in image["axes"]] == ["c", "z", "y", "x"]
    assert [axis.get("unit") for axis in image["axes"]] == [None, "nanometer", "nanometer", "nanometer"]
    scale, translation = image["datasets"][0]["coordinateTransformations"]
    assert scale == {"type": "scale", "scale": [1.0, *VOXEL_SIZE]}
    assert translation == {"type": "translation", "translation": [0.0, *OFFSET]}
    array = group[image["datasets"][0]["path"]]
    assert array.metadata.dimension_names == ("c", "z", "y", "x")
    np.testing.assert_array_equal(array[:], data)
    assert group.attrs["clew"]["stage"] == "predict"


def test_zarr_python_reads_our_shards(tmp_path, monkeypatch):
    monkeypatch.setattr("clew.volumes.formats.ome_zarr.SHARD_WHERE_CHUNKS", 4)
    data = asymmetric("uint64", (130, 70, 200))
    with create_volume(tmp_path / "a.zarr", shape=data.shape, dtype=data.dtype, voxel_size=VOXEL_SIZE) as volume:
        assert volume.chunks == (192, 128, 256)
        for box in boxes(data.shape, (50, 70, 60), 8):
            volume[box] = data[box]
    array = zarr.open_group(tmp_path / "a.zarr", mode="r")["s0"]
    assert (array.shards, array.chunks) == ((192, 128, 256), (64, 64, 64))
    np.testing.assert_array_equal(array[:], data)
    volume = open_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(volume.read(), data)
    assert "shards" in volume.describe()


def test_shards_stay_small_and_are_whole_chunks():
    assert shard_shape((512, 512, 512), (64, 64, 64), 1) == (64, 64, 64)
    assert shard_shape((4096, 4096, 4096), (64, 64, 64), 8) == (256, 256, 256)
    assert shard_shape((3, 4096, 4096, 100), (1, 64, 64, 64), 1) == (3, 256, 256, 128)
    assert np.prod(shard_shape((12, 4096, 4096, 4096), (1, 64, 64, 64), 4)) * 4 <= 128 << 20


def test_h5py_reads_cremi_attributes(tmp_path):
    data = asymmetric()
    save_volume(
        f"{tmp_path}/a.h5:volumes/raw", data, voxel_size=VOXEL_SIZE, offset=OFFSET, attributes={"n": np.int64(3)}
    )
    save_volume(f"{tmp_path}/a.h5:volumes/labels/neuron_ids", data + 1, voxel_size=VOXEL_SIZE)
    with h5py.File(tmp_path / "a.h5") as file:
        raw = file["volumes/raw"]
        assert tuple(raw.attrs["resolution"]) == VOXEL_SIZE
        assert tuple(raw.attrs["offset"]) == OFFSET
        assert json.loads(raw.attrs["clew"])["n"] == 3
        np.testing.assert_array_equal(raw[()], data)
        np.testing.assert_array_equal(file["volumes/labels/neuron_ids"][()], data + 1)


def test_affinity_attributes_come_back(tmp_path):
    attributes = affinity_attributes([(-1, 0, 0), (0, -1, 0), (0, 0, -1)], np.uint8)
    save_volume(tmp_path / "a.zarr", asymmetric("uint8", (3, 5, 6, 7)), voxel_size=VOXEL_SIZE, attributes=attributes)
    volume = open_volume(tmp_path / "a.zarr")
    assert {name: volume.attributes[name] for name in attributes} == attributes
    rows = dict(volume.rows())
    assert rows["value range"] == "[0, 255]"
    assert rows["channel offsets"] == "(-1,0,0) (0,-1,0) (0,0,-1) voxels (z, y, x)"
    assert rows["voxel size"] == "40 × 4.24 × 4 nm (z, y, x), OME multiscales"


def test_attributes_may_be_added_until_the_end(tmp_path):
    for name in ("a.zarr", "a.h5:x"):
        with create_volume(f"{tmp_path}/{name}", shape=(2, 3, 4), dtype="uint8", voxel_size=VOXEL_SIZE) as volume:
            volume[...] = np.ones((2, 3, 4), np.uint8)
            volume.attributes["seconds"] = 1.5
        assert open_volume(f"{tmp_path}/{name}").attributes["seconds"] == 1.5


@pytest.mark.parametrize("name", ["a.zarr", "a.h5", "a.h5:x/y", "new/folder/a.zarr"])
def test_failure_leaves_nothing(tmp_path, name):
    def fail():
        with create_volume(f"{tmp_path}/{name}", shape=(70, 70, 70), dtype="uint8", voxel_size=VOXEL_SIZE) as volume:
            volume[:64] = np.ones((64, 70, 70), np.uint8)
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.zarr", "a.h5", "a.h5:x/y"])
def test_failure_keeps_the_old_output(tmp_path, name):
    old, path = asymmetric("uint8"), f"{tmp_path}/{name}"
    save_volume(path, old, voxel_size=VOXEL_SIZE)
    with pytest.raises(InputError, match=r"exists already.*--overwrite"):
        save_volume(path, old, voxel_size=VOXEL_SIZE)
    with pytest.raises(KeyboardInterrupt):
        interrupted(path, old.shape)
    np.testing.assert_array_equal(open_volume(path).read(), old)
    save_volume(path, old + 1, voxel_size=VOXEL_SIZE, overwrite=True)
    np.testing.assert_array_equal(open_volume(path).read(), old + 1)
    assert len(list(tmp_path.iterdir())) == 1


def interrupted(path, shape):
    with create_volume(path, shape=shape, dtype="uint8", voxel_size=VOXEL_SIZE, overwrite=True) as volume:
        volume[0] = np.zeros(shape[1:], np.uint8)
        raise KeyboardInterrupt


def test_overwriting_one_dataset_keeps_the_others(tmp_path):
    first, second = asymmetric("uint8"), asymmetric("uint32")
    save_volume(f"{tmp_path}/a.h5:first", first, voxel_size=VOXEL_SIZE)
    save_volume(f"{tmp_path}/a.h5:second", second, voxel_size=VOXEL_SIZE)
    save_volume(f"{tmp_path}/a.h5:second", second + 1, voxel_size=VOXEL_SIZE, overwrite=True)
    np.testing.assert_array_equal(open_volume(f"{tmp_path}/a.h5:first").read(), first)
    np.testing.assert_array_equal(open_volume(f"{tmp_path}/a.h5:second").read(), second + 1)
    with pytest.raises(InputError, match="first is there already, as something else"):
        save_volume(f"{tmp_path}/a.h5:first/deeper", second, voxel_size=VOXEL_SIZE)


def test_files_that_are_no_volume_are_never_replaced(tmp_path):
    folder = tmp_path / "precious.zarr"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="is not a zarr, so it is not replaced"):
        save_volume(folder, asymmetric(), voxel_size=VOXEL_SIZE, overwrite=True)
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises(InputError, match="is not a file, so it is not replaced"):
        save_volume(tmp_path / "folder.h5", asymmetric(), voxel_size=VOXEL_SIZE, overwrite=True)
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        save_volume(f"{tmp_path}/text.h5:x", asymmetric(), voxel_size=VOXEL_SIZE)
    assert (folder / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("a.zarr", {"data": np.zeros((2, 3), np.uint8)}, "wanted an array"),
        ("a.zarr", {"data": np.zeros((0, 3, 4), np.uint8)}, "is empty"),
        ("a.zarr", {"data": np.zeros((2, 3, 4))}, "cannot write float64; wanted one of"),
        ("a.zarr", {"voxel_size": (8, 0, 8)}, "three positive numbers"),
        ("a.zarr", {"voxel_size": (8, 8)}, "three positive numbers"),
        ("a.zarr", {"axes": "xyz"}, "not axes 'xyz'"),
        ("a.n5", {}, r"must end in \.zarr"),
        ("s3://bucket/a.h5", {}, r"must end in \.zarr"),
        ("https://host/a.zarr", {}, "outputs are local, or in s3:// or gs://"),
        ("s3://B/a.zarr", {}, "Invalid S3 bucket name"),
    ],
)
def test_bad_requests_are_refused_before_work(tmp_path, name, change, message):
    given = {"data": np.zeros((2, 3, 4), np.uint8), "voxel_size": VOXEL_SIZE, **change}
    with pytest.raises(InputError, match=message):
        save_volume(name if "://" in name else tmp_path / name, given.pop("data"), **given)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder():
    with pytest.raises(InputError, match="cannot write in the folder /proc"):
        save_volume("/proc/clew/a.zarr", asymmetric(), voxel_size=VOXEL_SIZE)


def test_blocks_must_fit_and_keep_their_values(tmp_path):
    with create_volume(tmp_path / "a.zarr", shape=(4, 5, 6), dtype="uint8", voxel_size=VOXEL_SIZE) as volume:
        with pytest.raises(InputError, match="does not fit"):
            volume[:2] = np.zeros((3, 5, 6), np.uint8)
        with pytest.raises(InputError, match="would not keep its values"):
            volume[:2] = np.zeros((2, 5, 6), np.int64)
        with pytest.raises(InputError, match="does not fit"):
            volume[2:9] = np.zeros((7, 5, 6), np.uint8)


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    def fill():
        with written_beside(tmp_path / "a.h5") as partial:
            partial.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(InputError, match=r"the disk is full: .*a\.h5 could not be written whole"):
        fill()
    assert list(tmp_path.iterdir()) == []


WRITE_BEYOND_THE_LIMIT = """
import resource, signal, sys
import numpy as np
from clew.volumes import save_volume
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
data = np.random.default_rng(0).integers(0, 255, (100, 100, 100), np.uint8)
try:
    save_volume(sys.argv[1], data, voxel_size=(8, 8, 8))
except (OSError, ValueError) as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("name", ["a.zarr", "a.h5"])
def test_a_write_that_the_system_refuses_leaves_nothing(tmp_path, name):
    assert resource.RLIMIT_FSIZE
    command = [sys.executable, "-c", WRITE_BEYOND_THE_LIMIT, f"{tmp_path}/{name}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "InputError"), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_volume_is_copied_block_by_block(tmp_path, monkeypatch):
    data = asymmetric("uint8", (100, 90, 80))
    save_volume(tmp_path / "a.h5", data, voxel_size=VOXEL_SIZE)
    monkeypatch.setattr("clew.volumes.save.BLOCK_BYTES", 1 << 19)
    volume = open_volume(tmp_path / "a.h5")
    read, sizes = volume.read, []
    monkeypatch.setattr(volume, "read", lambda box: sizes.append(read(box).size) or read(box))
    save_volume(tmp_path / "b.zarr", volume, voxel_size=volume.voxel_size)
    np.testing.assert_array_equal(open_volume(tmp_path / "b.zarr").read(), data)
    assert sum(sizes) == data.size
    assert max(sizes) <= 1 << 19


@given(
    shape=st.lists(st.integers(1, 40), min_size=3, max_size=4),
    unit=st.lists(st.integers(1, 16), min_size=4, max_size=4),
    itemsize=st.sampled_from([1, 8]),
)
def test_boxes_cover_every_voxel_once(shape, unit, itemsize):
    covered = np.zeros(shape, np.uint8)
    for box in boxes(shape, unit[-len(shape) :], itemsize):
        covered[box] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize(("dtype", "labels"), [("uint64", True), ("uint32", True), ("uint8", False), ("uint16", False)])
def test_ids_are_said_to_be_labels(tmp_path, dtype: str, labels: bool):
    save_volume(tmp_path / "a.zarr", np.ones((2, 3, 4), dtype), voxel_size=VOXEL_SIZE)
    ome = zarr.open_group(tmp_path / "a.zarr", mode="r").attrs["ome"]
    assert ome.get("image-label") == ({"version": "0.5"} if labels else None)
