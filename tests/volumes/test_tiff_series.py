"""TIFF files with more than one stack in them, and the sizes that they say."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from clew.errors import InputError
from clew.volumes import open_volume
from clew.volumes.warnings import volume_warnings

SIZE = (40.0, 4.0, 4.0)
DATA = np.random.default_rng(1).integers(0, 256, (6, 32, 48), np.uint8)
GREY = {"photometric": "minisblack"}


def opened(path):
    return open_volume(path, voxel_size=SIZE)


def check(path, data=DATA):
    volume = opened(path)
    np.testing.assert_array_equal(volume.read(), data)
    np.testing.assert_array_equal(volume[..., -3:, 3:9, ::2], data[..., -3:, 3:9, ::2])


def write_pages(path, images, reduced=()):
    with tifffile.TiffWriter(path) as writer:
        for number, image in enumerate(images):
            writer.write(image, **GREY, subfiletype=int(number in reduced), contiguous=False, metadata=None)


def test_thumbnails_are_left_out(tmp_path):
    write_pages(tmp_path / "before.tif", [DATA[0, ::4, ::4], *DATA])
    check(tmp_path / "before.tif")
    assert "before.tif:0 reads those of 0" in volume_warnings(opened(tmp_path / "before.tif"))[0]
    check(f"{tmp_path}/before.tif:0", DATA[:1, ::4, ::4])
    between = [image for section in DATA for image in (section, section[::4, ::4])]
    write_pages(tmp_path / "between.tif", between, reduced=range(1, 12, 2))
    check(tmp_path / "between.tif")
    assert volume_warnings(opened(tmp_path / "between.tif")) == []
    (tmp_path / "folder").mkdir()
    for z, section in enumerate(DATA):
        write_pages(tmp_path / f"folder/{z}.tif", [section, section[::4, ::4]])
    check(tmp_path / "folder")


@pytest.mark.parametrize("metadata", [None, {}])
def test_another_shape_among_the_sections(tmp_path, metadata):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for number, image in enumerate(DATA):
            writer.write(image if number != 3 else image[:20], **GREY, contiguous=False, metadata=metadata)
    with pytest.raises(InputError, match=r"a\.tif: image 3 is of another kind than those before and after it"):
        opened(tmp_path / "a.tif")


def test_several_series(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(DATA[:2], **GREY)
        writer.write(255 - DATA, **GREY)
    check(tmp_path / "a.tif", 255 - DATA)
    check(f"{tmp_path}/a.tif:0", DATA[:2])
    for number in ("2", "x", "-1"):
        with pytest.raises(
            InputError, match=rf"holds no series {number} of images; it has 2: 0 of shape \(2, 32, 48\)"
        ):
            opened(f"{tmp_path}/a.tif:{number}")
    Image.fromarray(DATA[0]).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png is one image and holds no 1"):
        opened(f"{tmp_path}/a.png:1")


def test_scales_in_the_file(tmp_path):
    metadata = {"axes": "ZYX", **{f"PhysicalSize{axis}": 0.004 for axis in "XY"}, "PhysicalSizeZ": 0.04}
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", bigtiff=True) as writer:
        writer.write(DATA, subifds=1, tile=(16, 16), compression="lzw", metadata=metadata, **GREY)
        writer.write(DATA[:, ::2, ::2], subfiletype=1, tile=(16, 16), compression="lzw", **GREY)
    check(tmp_path / "a.ome.tif")
    assert open_volume(tmp_path / "a.ome.tif").voxel_size == pytest.approx(SIZE)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_several_sections_in_a_page(tmp_path, compression):
    tifffile.imwrite(
        tmp_path / "depth.tif", DATA[:, :32, :32], volumetric=True, tile=(2, 16, 16), compression=compression, **GREY
    )
    check(tmp_path / "depth.tif", DATA[:, :32, :32])
    tifffile.imwrite(tmp_path / "samples.tif", DATA, planarconfig="separate", compression=compression, **GREY)
    check(tmp_path / "samples.tif")
    assert "calls its 6 images samples of one" in volume_warnings(opened(tmp_path / "samples.tif"))[0]


@pytest.mark.parametrize("axes", ["CYX", "TYX"])
def test_channels_and_times_are_taken_as_sections(tmp_path, axes):
    tifffile.imwrite(tmp_path / "a.tif", DATA, imagej=True, metadata={"axes": axes})
    check(tmp_path / "a.tif")
    assert "they are taken as sections" in volume_warnings(opened(tmp_path / "a.tif"))[0]


@pytest.mark.parametrize(
    ("metadata", "size"),
    [
        ({"spacing": 0.04, "unit": "um"}, SIZE),
        ({"spacing": 0.04, "unit": "\\u00B5m"}, SIZE),
        ({"spacing": 0.04, "unit": "micron"}, SIZE),
        ({"spacing": -0.04, "unit": "um"}, SIZE),
        ({"spacing": 40, "unit": "um", "zunit": "nm"}, SIZE),
        ({"spacing": 40, "unit": "um", "zunit": "nm", "yunit": "nm"}, (40, 0.004, 4)),
        ({"spacing": 4e-5, "unit": "um", "zunit": "mm"}, SIZE),
        ({"unit": "um"}, (1000, 4, 4)),
        ({"spacing": 0, "unit": "um"}, (1000, 4, 4)),
    ],
)
def test_units_of_imagej(tmp_path, metadata, size):
    tifffile.imwrite(tmp_path / "a.tif", DATA, imagej=True, resolution=(250, 250), metadata={"axes": "ZYX", **metadata})
    volume = open_volume(tmp_path / "a.tif")
    assert volume.voxel_size == pytest.approx(size, rel=1e-6)
    assert ("leaves out a spacing of 1" in " ".join(volume_warnings(volume))) == (size[0] == 1000)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"spacing": 40, "unit": ""}, "spacing 40 and unit ''"),
        ({"spacing": 1, "unit": "pixel"}, "spacing 1 and unit 'pixel'"),
        ({"spacing": 1, "unit": "inch"}, "spacing 1 and unit 'inch'"),
        ({"spacing": 40, "unit": "um", "zunit": "sections"}, "spacing 40 and unit 'sections', 'um'"),
        ({"spacing": "thin", "unit": "um"}, "spacing thin and unit 'um'"),
        ({"spacing": "nan", "unit": "um"}, "spacing nan and unit 'um'"),
    ],
)
def test_units_that_say_nothing(tmp_path, metadata, reason):
    tifffile.imwrite(tmp_path / "a.tif", DATA, imagej=True, resolution=(250, 250), metadata={"axes": "ZYX", **metadata})
    with pytest.raises(
        InputError, match=rf"does not say its voxel size: ImageJ metadata have {reason}; give it as --voxel-size"
    ):
        open_volume(tmp_path / "a.tif")
    check(tmp_path / "a.tif")


def test_resolution_tags_are_a_hint_where_no_printer_wrote_them(tmp_path):
    for unit, dots, said in [
        ("inch", 300, False),
        ("inch", 72, False),
        ("none", 1, False),
        ("centimeter", 2.5e6, True),
    ]:
        tifffile.imwrite(tmp_path / "a.tif", DATA, resolution=(dots, dots), resolutionunit=unit, **GREY)
        with pytest.raises(InputError) as caught:
            open_volume(tmp_path / "a.tif")
        assert ("its resolution says pixels of 4 × 4 nm, nothing says z" in str(caught.value)) == said


@pytest.mark.parametrize(("code", "name"), [(48124, "JETRAW"), (32766, "NEXT"), (60000, "60000")])
def test_compressions_that_nothing_decodes_are_named(tmp_path, code, name):
    tifffile.imwrite(tmp_path / "a.tif", DATA[0], compression="zlib", **GREY)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        tiff.pages[0].tags["Compression"].overwrite(code)
    with pytest.raises(InputError, match=rf"a\.tif cannot be read \(compression {name}; save it with LZW or without"):
        opened(tmp_path / "a.tif").probe()


def test_orientation_is_said(tmp_path):
    for value, said in ((1, False), (4, True)):
        tifffile.imwrite(
            tmp_path / "a.tif", DATA, extratags=[("Orientation", "H", 1, value, True)], metadata=None, **GREY
        )
        check(tmp_path / "a.tif")
        assert (
            "(Orientation 4); they are read as stored" in " ".join(volume_warnings(opened(tmp_path / "a.tif")))
        ) == said


def test_no_image_at_all(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif"):
        pass
    with pytest.raises(InputError, match=r"a\.tif holds no image"):
        opened(tmp_path / "a.tif")


def test_values_that_imagej_shows_shifted_are_said_to_be(tmp_path):
    """Fiji stores 16 bits that it calls signed as unsigned ones, 32768 higher."""
    metadata = {"axes": "ZYX", "spacing": 0.04, "unit": "um", "cf": 0, "c0": -32768.0, "c1": 1.0}
    stored = np.arange(30000, 30016, dtype=np.uint16).reshape(2, 2, 4)
    tifffile.imwrite(tmp_path / "a.tif", stored, imagej=True, resolution=(100, 100), metadata=metadata)
    volume = open_volume(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.read(), stored)
    assert "ImageJ adds -32768 to the values that it shows" in " ".join(volume_warnings(volume))
