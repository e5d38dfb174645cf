"""Chunked formats written by others: axes, voxel size, offset, scales, errors."""

import functools
import http.server
import json
import threading

import numpy as np
import pytest
import zarr

from clew.errors import InputError
from clew.volumes import list_datasets, open_volume, save_volume
from volumes.foreign import write_precomputed, write_tensorstore

DATA = (np.arange(5 * 7 * 11) % 251).reshape(5, 7, 11).astype(np.uint16)
VOXEL_SIZE = (40.0, 4.24, 4.0)
OFFSET = (80.0, -1.5, 0.25)


def write_json(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def ome_image(axes, scales, units="nanometer", **more):
    """An OME multiscale image: axes as text, (path, scale, translation) of each scale."""
    named = [{"name": a, "type": "space", "unit": units} if a in "zyx" else {"name": a} for a in axes]
    transforms = [
        [{"type": "scale", "scale": list(s)}, *([{"type": "translation", "translation": list(t)}] if t else [])]
        for _, s, t in scales
    ]
    datasets = [
        {"path": scales[i][0], "coordinateTransformations": transform} for i, transform in enumerate(transforms)
    ]
    return {"axes": named, "datasets": datasets, **more}


def test_ome_zarr_04(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=DATA[None, None], chunks=(1, 1, 2, 3, 4))
    group.create_array("1", data=DATA[None, None, ::2, ::2, ::2], chunks=(1, 1, 2, 3, 4))
    fine = ("0", (1, 1, 0.04, 0.00424, 0.004), (0, 0, 0.08, -0.0015, 0.00025))
    coarse = ("1", (1, 1, 0.08, 0.00848, 0.008), None)
    group.attrs["multiscales"] = [{"version": "0.4", **ome_image("tczyx", [fine, coarse], "micrometer")}]
    volume = open_volume(tmp_path / "a.zarr")
    assert (volume.axes, volume.shape, volume.dtype) == ("zyx", DATA.shape, DATA.dtype)
    assert volume.voxel_size == pytest.approx(VOXEL_SIZE, rel=1e-12)
    assert volume.offset == pytest.approx(OFFSET, rel=1e-12)
    np.testing.assert_array_equal(volume.read(), DATA)
    for name in ("a.zarr/1", "a.zarr:1"):
        volume = open_volume(tmp_path / name)
        assert volume.voxel_size == pytest.approx((80, 8.48, 8), rel=1e-12)
        np.testing.assert_array_equal(volume.read(), DATA[::2, ::2, ::2])
    with pytest.raises(InputError, match="has no scale 2; its scales are 0, 1"):
        open_volume(f"{tmp_path}/a.zarr:2")


def test_ome_zarr_05_by_zarr_python_with_swapped_axes_and_a_common_scale(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    stored = np.stack([DATA, DATA + 1, DATA + 2]).transpose(3, 2, 1, 0)
    group.create_array("s0", data=stored, chunks=(4, 3, 2, 1))
    common = [{"type": "scale", "scale": [2, 2, 2, 1]}]
    image = ome_image("xyzc", [("s0", (20, 21.2, 200, 1), (1, 2, 3, 0))], "angstrom", coordinateTransformations=common)
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    volume = open_volume(tmp_path / "a.zarr")
    assert (volume.axes, volume.shape) == ("czyx", (3, *DATA.shape))
    assert volume.voxel_size == pytest.approx((40, 4.24, 4))
    assert volume.offset == pytest.approx((0.6, 0.4, 0.2))
    np.testing.assert_array_equal(volume[1, 2:4, 1:6:2, 3:], (DATA + 1)[2:4, 1:6:2, 3:])


def test_ome_scale_without_a_unit_is_refused(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("0", data=DATA)
    group.attrs["ome"] = {"version": "0.5", "multiscales": [ome_image("zyx", [("0", (4, 4, 4), None)], None)]}
    with pytest.raises(InputError, match=r"without a unit of length; .*--voxel-size 8,8,8"):
        open_volume(tmp_path / "a.zarr")
    assert open_volume(tmp_path / "a.zarr", voxel_size=(4, 4, 4)).voxel_size == (4, 4, 4)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("key", ["resolution", "voxel_size"])
def test_plain_zarr(tmp_path, zarr_format, key):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=zarr_format)
    array = group.create_array("volumes/raw", data=DATA, chunks=(2, 3, 4))
    array.attrs.update({key: list(VOXEL_SIZE), "offset": list(OFFSET)})
    for name in ("a.zarr", "a.zarr/volumes/raw", "a.zarr:volumes/raw"):
        volume = open_volume(tmp_path / name)
        assert (volume.voxel_size, volume.offset, volume.chunks) == (VOXEL_SIZE, OFFSET, (2, 3, 4))
        assert volume.format == f"zarr {zarr_format}"
        np.testing.assert_array_equal(volume.read(), DATA)
    assert volume.attributes == {}
    assert volume.metadata[key] == list(VOXEL_SIZE)


def test_zarr_with_named_axes_in_another_order(tmp_path):
    array = zarr.create_array(tmp_path / "a.zarr", data=DATA.T, dimension_names=("x", "y", "z"))
    array.attrs.update({"resolution": VOXEL_SIZE[::-1], "offset": OFFSET[::-1]})
    volume = open_volume(tmp_path / "a.zarr")
    assert (volume.voxel_size, volume.offset) == (VOXEL_SIZE, OFFSET)
    np.testing.assert_array_equal(volume.read(), DATA)


def test_big_endian_is_made_native(tmp_path):
    write_tensorstore("zarr", tmp_path / "a.zarr", DATA.astype(">u2"), metadata={"dtype": ">u2"})
    volume = open_volume(tmp_path / "a.zarr", voxel_size=VOXEL_SIZE)
    assert volume.read().dtype.isnative
    np.testing.assert_array_equal(volume.read(), DATA)


@pytest.mark.parametrize(
    "attributes",
    [
        {"resolution": [4, 4.24, 40], "offset": [0.25, -1.5, 80]},
        {"pixelResolution": {"dimensions": [0.004, 0.00424, 0.04], "unit": "um"}, "offset": [0.25, -1.5, 80]},
        {"pixelResolution": [4, 4.24, 40], "translation": [0.25, -1.5, 80]},
        {"axes": ["z", "y", "x"], "units": ["nm"] * 3, "resolution": [40, 4.24, 4], "offset": [80, -1.5, 0.25]},
        {"axes": ["x", "y", "z"], "resolution": [4, 4.24, 40], "offset": [0.25, -1.5, 80]},
        {"transform": {"axes": list("zyx"), "scale": [40, 4.24, 4], "translate": OFFSET, "units": ["nm"] * 3}},
    ],
)
def test_n5_is_transposed(tmp_path, attributes):
    write_tensorstore("n5", tmp_path / "a.n5/raw", DATA.T, metadata={"blockSize": [4, 3, 2], **attributes})
    write_json(tmp_path / "a.n5/attributes.json", {"n5": "2.5.1"})
    for name in ("a.n5", "a.n5/raw", "a.n5:raw"):
        volume = open_volume(tmp_path / name)
        assert (volume.shape, volume.chunks, volume.format) == (DATA.shape, (2, 3, 4), "N5")
        assert volume.voxel_size == pytest.approx(VOXEL_SIZE, rel=1e-12)
        assert volume.offset == pytest.approx(OFFSET, rel=1e-12)
        np.testing.assert_array_equal(volume.read(), DATA)
        np.testing.assert_array_equal(volume[1:3, 2:, :5], DATA[1:3, 2:, :5])


def test_n5_resolution_that_must_be_in_the_other_order_is_refused(tmp_path):
    write_tensorstore("n5", tmp_path / "a.n5", DATA.T, metadata={"resolution": [40, 4, 4]})
    with pytest.raises(InputError, match=r"probably written \(z, y, x\); give it as --voxel-size"):
        open_volume(tmp_path / "a.n5")


def test_n5_scales(tmp_path):
    write_tensorstore("n5", tmp_path / "a.n5/raw/s0", DATA.T)
    write_tensorstore("n5", tmp_path / "a.n5/raw/s1", DATA.T[::2, ::2], metadata={"downsamplingFactors": [2, 2, 1]})
    write_json(tmp_path / "a.n5/raw/attributes.json", {"resolution": [4, 4.24, 40]})
    assert open_volume(tmp_path / "a.n5/raw").voxel_size == VOXEL_SIZE
    coarse = open_volume(f"{tmp_path}/a.n5/raw:1")
    assert coarse.voxel_size == (40, 8.48, 8)
    np.testing.assert_array_equal(coarse.read(), DATA[:, ::2, ::2])


@pytest.mark.parametrize("prefix", ["", "precomputed://", "precomputed://file://"])
def test_precomputed_is_transposed_and_keeps_its_offset(tmp_path, prefix):
    write_precomputed(tmp_path / "a", DATA, voxel_offset=[3, -2, 100])
    volume = open_volume(f"{prefix}{tmp_path}/a")
    assert (volume.axes, volume.shape, volume.chunks) == ("zyx", DATA.shape, (2, 3, 4))
    assert volume.voxel_size == VOXEL_SIZE
    assert volume.offset == pytest.approx((4000, -8.48, 12))
    np.testing.assert_array_equal(volume.read(), DATA)
    np.testing.assert_array_equal(volume[1:3, 2:, ::3], DATA[1:3, 2:, ::3])


def test_precomputed_channels_and_scales(tmp_path):
    data = np.stack([DATA, DATA + 1, DATA + 2])
    write_precomputed(tmp_path / "a", data)
    write_precomputed(tmp_path / "a", data[:, ::2], resolution=[4, 4.24, 80])
    volume = open_volume(tmp_path / "a")
    assert volume.axes == "czyx"
    np.testing.assert_array_equal(volume.read(), data)
    assert open_volume(f"{tmp_path}/a:1").voxel_size == (80, 4.24, 4)
    np.testing.assert_array_equal(open_volume(f"{tmp_path}/a:1").read(), data[:, ::2])
    with pytest.raises(InputError, match="has no scale 2; its scales are"):
        open_volume(f"{tmp_path}/a:2")


def test_precomputed_compressed_segmentation(tmp_path):
    labels = DATA.astype(np.uint64) + np.uint64(2**62)
    blocks = {"encoding": "compressed_segmentation", "compressed_segmentation_block_size": [8, 8, 8]}
    write_precomputed(tmp_path / "a", labels, **blocks)
    np.testing.assert_array_equal(open_volume(tmp_path / "a").read(), labels)


def test_precomputed_chunks_that_would_read_as_zeros_are_refused(tmp_path):
    write_precomputed(tmp_path / "a", DATA, key="4_4_40")
    for chunk in (tmp_path / "a/4_4_40").iterdir():
        chunk.rename(f"{chunk}.gz")
    with pytest.raises(InputError, match=r"compressed files such as 4_4_40/.*\.gz"):
        open_volume(tmp_path / "a")
    write_json(tmp_path / "mesh/info", {"@type": "neuroglancer_legacy_mesh"})
    with pytest.raises(InputError, match="neuroglancer_legacy_mesh without scales, not a volume"):
        open_volume(tmp_path / "mesh")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no file info"):
        open_volume(f"precomputed://{tmp_path}/none")


def several(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    for name in ("volumes/raw", "volumes/labels/neuron_ids"):
        group.create_array(name, data=DATA).attrs["resolution"] = VOXEL_SIZE
    group.create_array("table", data=np.zeros(3))
    return f"{tmp_path}/a.zarr"


def test_several_datasets_are_listed(tmp_path):
    path = several(tmp_path)
    names = [row.name for row in list_datasets(path)]
    assert names == ["volumes/labels/neuron_ids", "volumes/raw"]
    with pytest.raises(InputError, match=r"holds 2 datasets, choose one .*volumes/raw \(5, 7, 11\) uint16"):
        open_volume(path)
    assert open_volume(f"{path}/volumes/raw").shape == DATA.shape
    assert open_volume(path, dataset="volumes/raw").shape == DATA.shape


@pytest.mark.parametrize("name", [":volumes/row", "/volumes/row"])
def test_the_nearest_dataset_is_named(tmp_path, name):
    path = several(tmp_path)
    with pytest.raises(InputError, match=r"no dataset 'volumes/row' \(did you mean 'volumes/raw'\?\); it holds"):
        open_volume(path + name)


def test_missing_voxel_size_names_the_option(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=DATA)
    with pytest.raises(InputError, match=r"a\.zarr \(shape \(5, 7, 11\)\) does not say .*--voxel-size 8,8,8"):
        open_volume(tmp_path / "a.zarr")
    volume = open_volume(tmp_path / "a.zarr", voxel_size=VOXEL_SIZE, offset=OFFSET)
    assert (volume.voxel_size, volume.offset) == (VOXEL_SIZE, OFFSET)
    with pytest.raises(InputError, match="three positive numbers"):
        open_volume(tmp_path / "a.zarr", voxel_size=(8, -8, 8))


def test_damaged_zarr_is_one_line(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=DATA, chunks=(2, 3, 4)).attrs["resolution"] = VOXEL_SIZE
    chunk = tmp_path / "a.zarr/c/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:10])
    volume = open_volume(tmp_path / "a.zarr")
    with pytest.raises(InputError, match=r"a\.zarr cannot be read: ") as caught:
        volume.read()
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(volume[2:], DATA[2:])
    (tmp_path / "a.zarr/zarr.json").write_text('{"zarr_format": 3, "node')
    with pytest.raises(InputError, match=r"zarr\.json is not valid JSON"):
        open_volume(tmp_path / "a.zarr")


def test_a_scale_that_is_announced_but_missing(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.attrs["ome"] = {"version": "0.5", "multiscales": [ome_image("zyx", [("s0", (4, 4, 4), None)])]}
    with pytest.raises(InputError, match="should hold the array s0, which is missing"):
        open_volume(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    ("shape", "names", "message"),
    [
        ((7, 11), None, "must have 3 axes"),
        ((2, 2, 5, 7, 11), None, "more than channels"),
        ((50, 60, 70, 3), None, "seems to have its channels last"),
        ((12, 60, 70, 3), None, "seems to have its channels last"),
        ((1, 12, 60, 70, 2), None, "seems to have its channels last"),
        ((5, 7, 11), ("t", "y", "x"), r"needs the axes z, y and x, each once; its axes are \(t=5, y=7, x=11\)"),
        ((3, 2, 5, 7, 11), ("t", "c", "z", "y", "x"), "more than channels"),
    ],
)
def test_axes_that_cannot_be_understood(tmp_path, shape, names, message):
    zarr.create_array(tmp_path / "a.zarr", shape=shape, dtype="u1", dimension_names=names)
    with pytest.raises(InputError, match=message):
        open_volume(tmp_path / "a.zarr", voxel_size=VOXEL_SIZE)


def test_selections(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=DATA).attrs["resolution"] = VOXEL_SIZE
    volume = open_volume(tmp_path / "a.zarr")
    for box in [np.s_[-2:], np.s_[..., 1], np.s_[1, ..., 2:99], np.s_[1, 2, 3], np.s_[:, ::3, 1::4], np.s_[2:1]]:
        np.testing.assert_array_equal(volume[box], DATA[box])
    np.testing.assert_array_equal(np.asarray(volume), DATA)
    for bad, message in [(np.s_[::-1], "positive steps"), (np.s_[0, 0, 0, 0], "does not fit"), (np.s_[9], "outside")]:
        with pytest.raises(InputError, match=message):
            volume[bad]


@pytest.fixture
def server(tmp_path):
    """The test's folder behind http."""
    handler = functools.partial(QuietHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files, says nothing."""

    def log_message(self, *arguments):
        pass


def test_remote_volumes(tmp_path, server):
    save_volume(tmp_path / "a.zarr", DATA, voxel_size=VOXEL_SIZE, offset=OFFSET, attributes={"stage": "test"})
    write_precomputed(tmp_path / "b", DATA, voxel_offset=[3, -2, 100])
    write_tensorstore("n5", tmp_path / "c.n5/raw", DATA.T, metadata={"resolution": [4, 4.24, 40]})
    for name in ("a.zarr", "a.zarr/s0", "a.zarr:0", "b", "c.n5/raw", "c.n5:raw"):
        volume = open_volume(f"{server}/{name}")
        assert volume.voxel_size == VOXEL_SIZE
        np.testing.assert_array_equal(volume[1:, 2:5], DATA[1:, 2:5])
    assert open_volume(f"{server}/a.zarr").attributes["stage"] == "test"
    for name in ("none.zarr", "c.n5"):
        with pytest.raises(InputError, match="is no array or image with scales, or may not be read"):
            open_volume(f"{server}/{name}")
