"""HDF5 files of others."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from clew.errors import InputError
from clew.volumes import list_datasets, open_volume, save_volume

DATA = (np.arange(5 * 7 * 11) % 251).reshape(5, 7, 11).astype(np.uint16)
VOXEL_SIZE = (40.0, 4.24, 4.0)


@pytest.fixture
def cremi(tmp_path):
    """A file in CREMI's layout."""
    with h5py.File(tmp_path / "sample.hdf", "w") as file:
        for name in ("volumes/raw", "volumes/labels/neuron_ids"):
            array = file.create_dataset(name, data=DATA, chunks=(2, 3, 4))
            array.attrs["resolution"] = VOXEL_SIZE
        array.attrs["offset"] = (1480.0, 3644.0, 3644.0)
        file["annotations/ids"] = np.arange(4)
    return tmp_path / "sample.hdf"


@pytest.mark.parametrize("name", [":volumes/labels/neuron_ids", "/volumes/labels/neuron_ids"])
def test_cremi_layout(cremi, name):
    with open_volume(f"{cremi}{name}") as volume:
        assert (volume.voxel_size, volume.offset) == (VOXEL_SIZE, (1480, 3644, 3644))
        assert (volume.axes, volume.chunks, volume.attributes) == ("zyx", (2, 3, 4), {})
        np.testing.assert_array_equal(volume[1:4, ::2, -3:], DATA[1:4, ::2, -3:])
    assert open_volume(cremi, dataset="volumes/raw").offset == (0, 0, 0)


def test_datasets_are_listed_and_the_nearest_is_named(cremi):
    assert [row.name for row in list_datasets(cremi)] == ["volumes/labels/neuron_ids", "volumes/raw"]
    with pytest.raises(InputError, match=r"holds 2 datasets, choose one .*volumes/raw \(5, 7, 11\) uint16"):
        open_volume(cremi)
    with pytest.raises(InputError, match=r"no dataset 'volumes/rav' \(did you mean 'volumes/raw'\?\)"):
        open_volume(f"{cremi}:volumes/rav")
    with pytest.raises(InputError, match="no dataset 'volumes'"):
        open_volume(f"{cremi}:volumes")


@pytest.mark.parametrize(
    ("attributes", "where"),
    [
        ({"element_size_um": np.array([0.04, 0.00424, 0.004])}, "array"),
        ({"resolution": VOXEL_SIZE}, "file"),
        ({"resolution": VOXEL_SIZE, "axes": "zyx"}, "array"),
        ({"voxel_size": (0.04, 0.00424, 0.004), "unit": "um"}, "array"),
        ({"voxel_size": VOXEL_SIZE, "axis_names": ["z", "y", "x"], "units": [b"nm", b"nm", b"nm"]}, "array"),
        ({"transform": json.dumps({})} | {"resolution": VOXEL_SIZE}, "array"),
    ],
)
def test_attributes(tmp_path, attributes, where):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        array = file.create_dataset("raw", data=DATA)
        (array if where == "array" else file).attrs.update(attributes)
    volume = open_volume(tmp_path / "a.h5")
    assert volume.voxel_size == pytest.approx(VOXEL_SIZE, rel=1e-12)
    np.testing.assert_array_equal(volume.read(), DATA)


def test_axes_by_name(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        array = file.create_dataset("raw", data=DATA.T[..., None])
        array.attrs["axistags"] = json.dumps({"axes": [{"key": key} for key in "xyzc"]})
        array.attrs["resolution"] = VOXEL_SIZE[::-1]
    volume = open_volume(tmp_path / "a.h5")
    assert (volume.axes, volume.voxel_size) == ("zyx", VOXEL_SIZE)
    np.testing.assert_array_equal(volume.read(), DATA)


@pytest.mark.parametrize("value", [(8, 0, 8), (8, 8), "eight nm", (8, np.nan, 8), (1, 2, 3, 4, 5)])
def test_voxel_size_that_cannot_be_understood(tmp_path, value):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", data=DATA).attrs["resolution"] = value
    with pytest.raises(InputError, match=r"a\.h5:raw.*three"):
        open_volume(tmp_path / "a.h5")


def test_missing_voxel_size_and_empty_arrays(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = DATA
        file["empty"] = np.zeros((0, 3, 4), np.uint8)
    with pytest.raises(InputError, match="--voxel-size 8,8,8"):
        open_volume(f"{tmp_path}/a.h5:raw")
    with pytest.raises(InputError, match="is empty"):
        open_volume(f"{tmp_path}/a.h5:empty", voxel_size=VOXEL_SIZE)


def test_missing_truncated_and_foreign_files(tmp_path):
    with pytest.raises(InputError, match=r"there is no file or folder .*none\.h5$"):
        open_volume(f"{tmp_path}/none.h5:volumes/raw")
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 40), np.uint8)
    save_volume(tmp_path / "a.h5", noise, voxel_size=VOXEL_SIZE)
    whole = (tmp_path / "a.h5").read_bytes()
    for name, content in [("cut.h5", whole[: len(whole) // 2]), ("zero.h5", b""), ("text.h5", b"hello" * 99)]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} cannot be read as HDF5") as caught:
            open_volume(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_damaged_chunk_is_one_line(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 40), np.uint8)
    save_volume(tmp_path / "a.h5", noise, voxel_size=VOXEL_SIZE)
    content = bytearray((tmp_path / "a.h5").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.h5:data cannot be read: ") as caught:
        open_volume(tmp_path / "a.h5").read()
    assert "\n" not in str(caught.value)


def write_fib25(path, stack, transforms):
    """Ground truth as NeuroProof writes it, without any attribute."""
    with h5py.File(path, "w") as file:
        file["stack"] = stack
        file["transforms"] = transforms


def test_supervoxels_are_read_as_bodies(tmp_path):
    stack = DATA.astype(np.uint32)
    supervoxels = np.random.default_rng(0).permutation(251)[:240]
    bodies = np.random.default_rng(1).integers(1, 2**40, 240)
    write_fib25(tmp_path / "groundtruth.h5", stack, np.stack([supervoxels, bodies], axis=1).astype(np.uint64))
    volume = open_volume(tmp_path / "groundtruth.h5", voxel_size=(8, 8, 8))
    body = dict(zip(supervoxels.tolist(), bodies.tolist(), strict=True))
    expected = np.array([body.get(piece, 0) for piece in DATA.ravel().tolist()], np.uint64).reshape(DATA.shape)
    np.testing.assert_array_equal(volume.read(), expected)
    np.testing.assert_array_equal(volume[1:3, ::2, 4], expected[1:3, ::2, 4])
    assert volume.dtype == np.uint64
    assert dict(volume.rows())["read as bodies"].startswith("240 supervoxels of 240 bodies")
    write_fib25(tmp_path / "none.h5", stack, np.zeros((0, 2), np.uint64))
    assert not open_volume(tmp_path / "none.h5", voxel_size=(8, 8, 8)).read().any()


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        (np.zeros((3, 4), np.uint64), r"must be \(n, 2\) whole numbers"),
        (np.zeros((3, 2)), r"must be \(n, 2\) whole numbers"),
        (np.array([[1, 2], [3, 3], [1, 4]]), "gives supervoxel 1 two bodies"),
    ],
)
def test_transforms_that_are_no_table(tmp_path, transforms, message):
    write_fib25(tmp_path / "a.h5", DATA, transforms)
    with pytest.raises(InputError, match=message):
        open_volume(tmp_path / "a.h5", voxel_size=(8, 8, 8))


def test_real_volumes(real_data):
    raw = open_volume(f"{real_data}/fib25_sample2.h5:volumes/raw")
    assert (raw.shape, raw.dtype, raw.axes) == ((250, 250, 250), np.uint8, "zyx")
    assert (raw.voxel_size, raw.offset) == ((10, 10, 10), (0, 0, 0))
    assert raw[100:102, :50, 7].shape == (2, 50)
    labels = open_volume(f"{real_data}/fib25_sample2.h5", dataset="volumes/labels/neuron_ids")
    assert (labels.dtype, len(np.unique(labels[100])) > 10) == (np.uint32, True)
    with pytest.raises(InputError, match="holds 3 datasets"):
        open_volume(real_data / "fib25_sample2.h5")
    pinky = open_volume(real_data / "pinky40_labels.h5")
    assert (pinky.voxel_size, pinky.shape) == ((40, 16, 16), (512, 512, 512))
    assert "20.48 × 8.192 × 8.192 µm" in pinky.describe()


@pytest.mark.parametrize("name", ["raw", "a b", "a:b/c:d", "é ☃", "50%20", "x#y"])
@pytest.mark.parametrize("form", ["{file}:{name}", "{file}:/{name}", "{file}/{name}/", "{file}:{name}/"])
def test_names_of_datasets(tmp_path, name, form):
    for file in ("plain.h5", "a:b.nc", "without"):
        with h5py.File(tmp_path / file, "w") as opened:
            opened[name] = DATA
        volume = open_volume(form.format(file=tmp_path / file, name=name), voxel_size=VOXEL_SIZE)
        np.testing.assert_array_equal(volume.read(), DATA)


def test_what_is_no_array_of_numbers(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["empty"] = h5py.Empty("u1")
        file.create_dataset("compound", (2, 2, 2), [("a", "i4")])
        file.create_dataset("texts", (2, 2, 2), h5py.string_dtype())
        for name, kind in ((b"time", h5py.h5t.UNIX_D32LE), (b"\xff", h5py.h5t.STD_U8LE)):
            h5py.h5d.create(file.id, name, kind.copy(), h5py.h5s.create_simple((2, 2, 2)))
    for name in ("empty", "compound", "texts", "time"):
        with pytest.raises(InputError, match=rf"a\.h5:{name} holds .*; wanted bool, integers or floats"):
            open_volume(f"{tmp_path}/a.h5:{name}", voxel_size=VOXEL_SIZE)
    assert ["UTF-8" in row.problem for row in list_datasets(tmp_path / "a.h5")] == [True]


def test_files_of_others_under_a_wrong_name(tmp_path):
    tifffile.imwrite(tmp_path / "tiff.h5", DATA)
    with h5py.File(tmp_path / "hdf5.tif", "w") as file:
        file["raw"] = DATA
    Image.new("L", (4, 4)).save(tmp_path / "picture.jpg")
    (tmp_path / "picture.jpg").rename(tmp_path / "picture.tif")
    contents = {
        "pointer.h5": b"version https://git-lfs.github.com/spec/v1",
        "page.h5": b"<!DOCTYPE html>",
        "old.nc": b"CDF\1",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    contents = {
        "a.czi": b"ZISRAWFILE", "a.vsi": b"II*\0", "without": b"\x93NUMPY", "a.nii": b"a" * 344 + b"n+1\0", "a.swc": b"1 0 1",
        "a.dm4": b"\0\0\0\x04\0\0", "a.mhd": b"ObjectType = Image", "a.txt": b"hello",
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    words = {
        "a.czi": "CZI of Zeiss.*bioformats2raw",
        "a.vsi": "a file of Olympus",
        "without": r"a numpy array \(\.npy\): rename it",
        "a.nii": "NIfTI.*nibabel",
        "a.swc": "clew evaluate-skeletons",
        "a.dm4": "DM4 of Gatan",
        "a.mhd": "MetaImage",
        "a.txt": "of no known format; files end in .h5",
        "tiff.h5": "it is TIFF",
        "hdf5.tif": r"it is HDF5 \(\.h5\): rename it",
        "picture.tif": "it is JPEG",
        "pointer.h5": "git lfs pull",
        "page.h5": "a web page",
        "old.nc": "nccopy",
    }
    for name, word in words.items():
        with pytest.raises(InputError, match=f"{name}.*{word}"):
            open_volume(tmp_path / name)


def test_a_file_that_another_program_writes(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["raw"] = DATA
    script = f"import h5py; file = h5py.File({str(path)!r}, 'r+'); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(InputError, match="another program has it open for writing"):
            open_volume(path)
        writer.communicate(b"\n")
    assert open_volume(path, voxel_size=VOXEL_SIZE).shape == DATA.shape
