"""Size and place in the ways in which programs say them, for the finest and a coarser scale of chunked formats."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorstore
import zarr

from clew.errors import InputError
from clew.volumes import list_datasets, open_volume
from clew.volumes.warnings import volume_warnings
from volumes.foreign import write_precomputed, write_tensorstore

DATA = np.random.default_rng(5).integers(0, 255, (8, 16, 32), np.uint8)
HALF = DATA[:, ::2, ::2]
SIZE, COARSE = (40.0, 4.0, 4.0), (40.0, 8.0, 8.0)
ORIGIN, INWARDS = (0.0, 0.0, 0.0), (0.0, 2.0, 2.0)
"""Middle of the first voxel of the finest scale, and of one of twice the pixels, in nm."""


def place(path, **given):
    volume = open_volume(path, **given)
    return volume.voxel_size, pytest.approx(volume.offset)


def n5_pyramid(folder: Path, group, finest, coarse) -> Path:
    for name, data, attributes in (("s0", DATA, finest), ("s1", HALF, coarse)):
        write_tensorstore("n5", folder / f"a.n5/raw/{name}", data.T, metadata={"blockSize": [8, 8, 4], **attributes})
    (folder / "a.n5/raw/attributes.json").write_text(json.dumps(group))
    return folder / "a.n5/raw"


def zarr_pyramid(folder: Path, group, finest, coarse, zarr_format=2) -> Path:
    root = zarr.open_group(folder / "a.zarr", mode="w", zarr_format=zarr_format)
    root.attrs.update(group)
    for name, data, attributes in (("s0", DATA, finest), ("s1", HALF, coarse)):
        root.create_array(name, data=data, chunks=(4, 8, 8)).attrs.update(attributes)
    return folder / "a.zarr"


DOWN, BASE = {"downsamplingFactors": [2, 2, 1]}, {"dimensions": [4, 4, 40], "unit": "nm"}
MICRONS = {"dimensions": [0.004, 0.004, 0.04], "unit": "um"}
TRANSFORM = {"axes": ["z", "y", "x"], "units": ["nm"] * 3}
COSEM = [
    TRANSFORM | {"scale": list(SIZE), "translate": [0, 0, 0]},
    TRANSFORM | {"scale": list(COARSE), "translate": [0, 2, 2]},
]
DATASETS = [{"path": f"s{index}", "transform": transform} for index, transform in enumerate(COSEM)]
N5 = {
    "group resolution and factors": ({"resolution": [4, 4, 40]}, {}, DOWN),
    "group pixelResolution and scales": ({"pixelResolution": BASE, "scales": [[1, 1, 1], [2, 2, 1]]}, {}, {}),
    "N5 Viewer: the same at each scale": ({}, {"pixelResolution": MICRONS}, {"pixelResolution": MICRONS} | DOWN),
    "the same at group and each scale": (
        {"pixelResolution": MICRONS}, {"pixelResolution": MICRONS}, {"pixelResolution": MICRONS} | DOWN,
    ),
    "scaled at each scale": (
        {"pixelResolution": BASE}, {"pixelResolution": BASE},
        {"pixelResolution": {"dimensions": [8, 8, 40], "unit": "nm"}, "translation": [2, 2, 0]} | DOWN,
    ),
    "group size, ratio of shapes": ({"resolution": [4, 4, 40]}, {}, {}),
    "Paintera": ({"multiScale": True, "resolution": [4, 4, 40], "offset": [0, 0, 0]}, {}, DOWN | {"maxNumEntries": -1}),
    "COSEM, array": ({}, {"transform": COSEM[0]}, {"transform": COSEM[1], "pixelResolution": BASE}),
    "COSEM, group": ({"multiscales": [{"datasets": DATASETS}]}, {}, {}),
    "units for each axis": ({"resolution": [4, 4, 0.04], "units": ["nm", "nm", "um"]}, {}, DOWN),
}  # fmt: skip
ZARR = {
    "group size, ratio of shapes": ({"resolution": [40, 4, 4]}, {}, {}),
    "size and place at each scale": (
        {}, {"resolution": [40, 4, 4], "offset": [0, 0, 0]}, {"resolution": [40, 8, 8], "offset": [0, 2, 2]},
    ),
    "blank units": ({"voxel_size": [40, 4, 4], "units": ["", "", ""], "axis_names": ["d0", "d1", "d2"]}, {}, {}),
    "no units": ({"voxel_size": [40, 4, 4], "units": None}, {}, {}),
    "text": ({"resolution": "[40, 4, 4]"}, {}, {"offset": "0, 2, 2"}),
    "text with a unit": ({"resolution": "40 nm, 4nm, 4 nm"}, {}, {}),
    "text in microns": ({"resolution": "0.04 x 0.004 x 0.004 um"}, {}, {}),
    "text beside a unit": ({"resolution": "0.04,0.004,0.004", "units": "um"}, {}, {}),
    "each with its unit": ({"resolution": ["40 nm", "4 nm", "4 nm"], "offset": ""}, {}, {}),
    "numbers as text": ({"resolution": ["40", "4", "4.0"]}, {}, {}),
    "by axis": ({"resolution": {"x": 4, "y": 4, "z": 40}}, {}, {}),
    "one unit": ({"resolution": [0.04, 0.004, 0.004], "unit": "micrometer"}, {}, {}),
    "COSEM": ({}, {"transform": COSEM[0]}, {"transform": COSEM[1]}),
    "axes that are objects": (
        {},
        *(
            {"axes": [{"name": "z", "unit": "um"}, {"name": "y", "unit": "nm"}, {"name": "x", "unit": "nm"}],
             "resolution": [0.04, pixel, pixel], "offset": [0, inwards, inwards]}
            for pixel, inwards in ((4, 0), (8, 2))
        ),
    ),
    "factors of the group": ({"resolution": [40, 4, 4], "downsamplingFactors": [[1, 1, 1], [1, 2, 2]]}, {}, {}),
}  # fmt: skip


@pytest.mark.parametrize("form", N5)
def test_n5(tmp_path, form):
    path = n5_pyramid(tmp_path, *N5[form])
    assert place(path) == (pytest.approx(SIZE), ORIGIN)
    assert place(path / "s1") == (pytest.approx(COARSE), INWARDS)
    np.testing.assert_array_equal(open_volume(path / "s1").read(), HALF)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("form", ZARR)
def test_zarr(tmp_path, form, zarr_format):
    path = zarr_pyramid(tmp_path, *ZARR[form], zarr_format=zarr_format)
    assert place(path / "s0") == (pytest.approx(SIZE), ORIGIN)
    assert place(path / "s1") == (pytest.approx(COARSE), INWARDS)
    np.testing.assert_array_equal(open_volume(path / "s1").read(), HALF)


def test_a_place_of_the_group_is_that_of_the_finest_scale(tmp_path):
    for key, value in (("offset", [400, 40, 80]), ("voxel_offset", [10, 10, 20])):
        path = zarr_pyramid(tmp_path, {"resolution": [40, 4, 4], key: value}, {}, {})
        assert place(path / "s0") == (SIZE, (400, 40, 80))
        assert place(path / "s1") == (COARSE, (400, 42, 82))


@pytest.mark.parametrize(
    ("shape", "factors"), [((7, 16, 31), (1, 1, 1)), ((4, 8, 15), (2, 2, 2)), ((3, 16, 8), (3, 1, 4))]
)
def test_the_ratio_of_shapes_rounds_up_or_down(tmp_path, shape, factors):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w")
    root.attrs["resolution"] = (40, 4, 4)
    root.create_array("s0", shape=(8, 16, 31) if factors[0] > 1 else shape, dtype="u1")
    root.create_array("s1", shape=shape, dtype="u1")
    assert open_volume(tmp_path / "a.zarr/s1").voxel_size == tuple(a * b for a, b in zip(factors, SIZE, strict=True))


def test_a_ratio_of_shapes_that_is_no_factor_is_asked_for(tmp_path):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w")
    root.attrs["resolution"] = (40, 4, 4)
    root.create_array("s0", shape=(8, 16, 32), dtype="u1")
    root.create_array("s1", shape=(8, 11, 32), dtype="u1")
    with pytest.raises(InputError, match=r"scale 1 of a pyramid, .* no whole factor; give it as --voxel-size"):
        open_volume(tmp_path / "a.zarr/s1")
    assert open_volume(tmp_path / "a.zarr/s1", voxel_size=COARSE).voxel_size == COARSE


UNCLEAR = [
    {"resolution": [4, 4]}, {"resolution": [40, 4, 0]}, {"resolution": "forty"}, {"resolution": None},
    {"resolution": [1, 1, 1], "unit": "pixel"}, {"resolution": [40, 4, 4], "units": ["s", "s", "s"]},
    {"resolution": [0.04, 4, 4], "units": ["um", "nm"]}, {"transform": {"axes": 5, "scale": [40, 4, 4]}},
    {"pixelResolution": {"unit": "um"}}, {"resolution": ["a", 4, 4]},
]  # fmt: skip


@pytest.mark.parametrize("attributes", UNCLEAR, ids=str)
def test_a_given_size_helps_wherever_it_is_advised(tmp_path, attributes):
    zarr.create_array(tmp_path / "a.zarr", data=DATA).attrs.update(attributes)
    with pytest.raises(InputError, match="give it as --voxel-size z,y,x in nm"):
        open_volume(tmp_path / "a.zarr")
    assert place(tmp_path / "a.zarr", voxel_size=SIZE) == (SIZE, ORIGIN)


def test_a_place_that_is_not_understood_is_asked_for(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=DATA).attrs.update({"resolution": SIZE, "offset": "here"})
    with pytest.raises(InputError, match="offset must be three numbers, not 'here'; give it .* --offset z,y,x"):
        open_volume(tmp_path / "a.zarr")
    assert place(tmp_path / "a.zarr", offset=(1, 2, 3)) == (SIZE, (1, 2, 3))


def test_a_given_size_rescales_a_place_in_voxels(tmp_path):
    write_precomputed(tmp_path / "pre", DATA, resolution=[1, 1, 1], voxel_offset=[200, 100, 10])
    for name, attributes in (
        ("voxels", {"voxel_offset": [10, 100, 200]}), ("unit", {"offset": [10, 100, 200], "units": ["voxel"] * 3}),
    ):  # fmt: skip
        zarr.create_array(tmp_path / name, data=DATA).attrs.update(attributes)
    group = zarr.open_group(tmp_path / "ome", mode="w", zarr_format=2)
    group.create_array("0", data=DATA)
    transforms = [{"type": "scale", "scale": [4, 1, 1]}, {"type": "translation", "translation": [40, 100, 200]}]
    dataset = {"path": "0", "coordinateTransformations": transforms}
    axes = [{"name": name, "type": "space", "unit": "pixel"} for name in "zyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]
    for name in ("pre", "voxels", "unit", "ome"):
        assert place(tmp_path / name, voxel_size=SIZE) == (SIZE, (400, 400, 800)), name


@pytest.mark.parametrize(
    "names",
    [
        ["c0^", "d0", "d1", "d2"],
        ["affs^", "z", "y", "x"],
        ["neighborhood^", "z", "y", "x"],
        ["channels", "z", "y", "x"],
    ],
)
def test_names_of_channel_axes(tmp_path, names):
    array = zarr.create_array(tmp_path / "a.zarr", data=np.stack([DATA] * 3), zarr_format=2)
    array.attrs.update(axis_names=names, voxel_size=SIZE, offset=(400, 0, 0), units=["", "", ""])
    volume = open_volume(tmp_path / "a.zarr")
    assert (volume.axes, volume.voxel_size, volume.offset) == ("czyx", SIZE, (400, 0, 0))


def test_two_sizes_that_differ_are_said(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=DATA).attrs.update(voxel_size=SIZE, resolution=[50, 4, 4])
    volume = open_volume(tmp_path / "a.zarr")
    assert volume.voxel_size == SIZE
    assert volume_warnings(volume) == [
        "the attribute voxel_size says 40 × 4 × 4 nm (z, y, x), resolution says 50 × 4 × 4; the first is taken"
    ]


def test_scales_of_precomputed_begin_at_one_corner(tmp_path):
    write_precomputed(tmp_path / "a", DATA, resolution=[4, 4, 40], voxel_offset=[200, 100, 10])
    write_precomputed(tmp_path / "a", HALF, resolution=[8, 8, 40], voxel_offset=[100, 50, 10])
    assert place(tmp_path / "a") == (SIZE, (400, 400, 800))
    assert place(f"{tmp_path}/a:1") == (COARSE, (400, 402, 802))
    assert place(f"{tmp_path}/a:1", voxel_size=(80, 16, 16)) == ((80, 16, 16), (800, 804, 1604))


def webknossos(folder: Path, driver: str, order: str, layers=("color",), corner=(0, 0, 0), **properties) -> Path:
    shape = {"x": 32, "y": 16, "z": 8, "c": 1}
    rows = []
    for layer in layers:
        mags = []
        for mag, data in (((1, 1, 1), DATA), ((2, 2, 1), HALF)):
            name = "1" if mag == (1, 1, 1) else "2-2-1"
            stored = data[None].transpose(["czyx".index(axis) for axis in order])
            spec = {"driver": driver, "kvstore": {"driver": "file", "path": f"{folder}/{layer}/{name}/"}}
            store = tensorstore.open(spec, create=True, dtype=data.dtype, shape=stored.shape).result()
            store[...].write(stored).result()
            axes = {axis: index for index, axis in enumerate(order)}
            mags.append({"mag": list(mag), "path": f"./{layer}/{name}", "axisOrder": axes})
        box = {"topLeft": list(corner), "width": shape["x"], "height": shape["y"], "depth": shape["z"]}
        rows.append({"name": layer, "boundingBox": box, "mags": mags, "dataFormat": driver})
    document = {"scale": {"factor": [4.0, 4.0, 40.0], "unit": "nanometer"}, "dataLayers": rows} | properties
    (folder / "datasource-properties.json").write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize("driver", ["zarr", "zarr3", "n5"])
@pytest.mark.parametrize("order", ["cxyz", "czyx", "xyzc"])
def test_webknossos(tmp_path, driver, order):
    path = webknossos(tmp_path / "a", driver, order)
    for name in ("", "/color", "/color/1"):
        assert place(f"{path}{name}") == (SIZE, ORIGIN)
        np.testing.assert_array_equal(open_volume(f"{path}{name}").read(), DATA)
    for name in ("/color/2-2-1", "/color:2-2-1", ":1"):
        assert place(f"{path}{name}") == (COARSE, INWARDS)
        np.testing.assert_array_equal(open_volume(f"{path}{name}").read(), HALF)


def test_webknossos_of_several_layers_older_scale_and_a_box_elsewhere(tmp_path):
    path = webknossos(tmp_path / "a", "zarr", "cxyz", ("color", "segmentation"), (100, 50, 10), scale=[4, 4, 40])
    assert [row.name for row in list_datasets(path)] == ["color", "segmentation"]
    with pytest.raises(InputError, match="holds 2 datasets"):
        open_volume(path)
    assert place(path / "segmentation") == (SIZE, (400, 200, 400))
    assert place(path / "color/2-2-1") == (COARSE, (400, 202, 402))


def test_wkw_is_named(tmp_path):
    document = {"scale": [4, 4, 40], "dataLayers": [{"name": "color", "dataFormat": "wkw", "mags": [{"mag": 1}]}]}
    (tmp_path / "a/color/1").mkdir(parents=True)
    (tmp_path / "a/datasource-properties.json").write_text(json.dumps(document))
    for name in ("a", "a/color"):
        with pytest.raises(InputError, match="holds WKW files, which clew does not read; write them as zarr"):
            open_volume(tmp_path / name)


def bigstitcher(folder: Path, unit: str, size: str) -> Path:
    attributes = {
        "setup0": {"downsamplingFactors": [[1, 1, 1], [2, 2, 1]]},
        "setup0/timepoint0": {"resolution": [1, 1, 1]},
    }
    for name, data, factors in (("s0", DATA, [1, 1, 1]), ("s1", HALF, [2, 2, 1])):
        metadata = {"blockSize": [8, 8, 4], "downsamplingFactors": factors}
        write_tensorstore("n5", folder / f"dataset.n5/setup0/timepoint0/{name}", data.T, metadata=metadata)
    for name, content in attributes.items():
        (folder / "dataset.n5" / name / "attributes.json").write_text(json.dumps(content))
    (folder / "dataset.xml").write_text(
        '<SpimData><SequenceDescription><ImageLoader format="bdv.n5"><n5 type="relative">dataset.n5</n5></ImageLoader>'
        f"<ViewSetups><ViewSetup><id>0</id><voxelSize><unit>{unit}</unit><size>{size}</size></voxelSize></ViewSetup>"
        "</ViewSetups></SequenceDescription></SpimData>"
    )
    return folder / "dataset.n5/setup0/timepoint0"


@pytest.mark.parametrize(("unit", "size"), [("nm", "4 4 40"), ("µm", "0.004 0.004 0.04")])
def test_bigstitcher(tmp_path, unit, size):
    path = bigstitcher(tmp_path, unit, size)
    assert place(path) == (pytest.approx(SIZE), ORIGIN)
    assert place(path / "s1") == (pytest.approx(COARSE), INWARDS)
    np.testing.assert_array_equal(open_volume(path / "s1").read(), HALF)


def test_a_plate_of_wells_is_refused_with_a_word(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2).attrs["plate"] = {"wells": []}
    with pytest.raises(InputError, match="is a plate of wells; name one image of it, such as .*/A/1/0"):
        open_volume(tmp_path / "a.zarr")


def ome(folder: Path, transforms, unit="nanometer", images=1, **attributes) -> Path:
    """An image (or several) of OME-Zarr 0.4, of one scale each."""
    group = zarr.open_group(folder / "a.zarr", mode="w", zarr_format=2)
    axes = [{"name": name, "type": "space", "unit": unit} for name in "zyx"]
    found = []
    for index in range(images):
        group.create_array(str(index), data=DATA)
        datasets = [{"path": str(index), "coordinateTransformations": transforms[index]}]
        found.append({"version": "0.4", "axes": axes, "datasets": datasets})
    group.attrs.update({"multiscales": found, **attributes})
    return folder / "a.zarr"


def scaled(*scale):
    return {"type": "scale", "scale": list(scale)}


def test_each_of_two_ome_images_has_its_size(tmp_path):
    path = ome(tmp_path, [[scaled(40, 4, 4)], [scaled(50, 8, 8)]], images=2)
    assert [open_volume(path / name).voxel_size for name in "01"] == [(40, 4, 4), (50, 8, 8)]


@pytest.mark.parametrize(
    "transform", [{"type": "affine", "affine": []}, {"type": "scale", "path": "x"}, scaled(4, 4), {}], ids=str
)
def test_ome_transformations_that_are_not_understood_are_said(tmp_path, transform):
    path = ome(tmp_path, [[transform]])
    with pytest.raises(
        InputError, match="its OME transformation .* is not understood for 3 axes; give it as --voxel-size"
    ):
        open_volume(path)
    volume = open_volume(path, voxel_size=SIZE)
    assert [text for text in volume_warnings(volume) if "is left out" in text]


def test_attributes_help_where_ome_has_no_scale(tmp_path):
    assert place(ome(tmp_path, [[]], resolution=[40, 4, 4])) == (SIZE, ORIGIN)


def test_scales_of_hdf5(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw/s0"], file["raw/s1"] = DATA, HALF
        file["raw"].attrs["resolution"] = (40, 4, 4)
        file["raw"].attrs["offset"] = np.array([400, 0, 0])
    assert place(f"{tmp_path}/a.h5:raw/s0") == (SIZE, (400, 0, 0))
    assert place(f"{tmp_path}/a.h5:raw/s1") == (COARSE, (400, 2, 2))


@pytest.mark.parametrize("factors", [[2, 2, 0], [2, -2, 1], "none", [2, 2], None, [[2, 2, 1]]], ids=str)
def test_damaged_factors_are_asked_for(tmp_path, factors):
    path = n5_pyramid(tmp_path, {"resolution": [4, 4, 40]}, {}, {})
    metadata = path / "s1/attributes.json"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"downsamplingFactors": factors}))
    with pytest.raises(InputError, match="downsamplingFactors must be three (positive )?numbers"):
        open_volume(path / "s1")
    assert open_volume(path / "s1", voxel_size=COARSE).voxel_size == COARSE


@pytest.mark.parametrize(
    "properties",
    [
        {"dataLayers": None}, {"dataLayers": [3]}, {"scale": None}, {"scale": {"factor": "a", "unit": 5}}, {"scale": [0, 1, 1]},
        {"dataLayers": [{"name": "color", "mags": [{"path": "color/1", "axisOrder": {"x": "a", "y": 0, "z": None}}]}]},
        {"dataLayers": [{"name": 5, "mags": [{"path": "color/1", "mag": [0, 0, 0]}], "boundingBox": {"topLeft": "here"}}]},
        {"dataLayers": [{"name": "color", "mags": ["1"]}]},
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_description_of_webknossos_is_one_line(tmp_path, properties):
    path = webknossos(tmp_path / "a", "zarr", "cxyz", **properties)
    for name in ("", "/color", "/color/1"):
        try:
            assert open_volume(f"{path}{name}").voxel_size == SIZE
        except InputError as error:
            assert "\n" not in str(error)


def test_other_xml_beside_an_n5_does_not_matter(tmp_path):
    path = bigstitcher(tmp_path, "nm", "4 4 40")
    (tmp_path / "broken.xml").write_text("<a>")
    assert place(path / "s1") == (COARSE, INWARDS)
