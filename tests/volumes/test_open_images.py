"""TIFF stacks and folders of sections."""

import tracemalloc

import numpy as np
import pytest
import tifffile
from PIL import Image

from clew.errors import InputError
from clew.volumes import open_volume

DATA = (np.arange(5 * 7 * 11) % 251).reshape(5, 7, 11).astype(np.uint16)
VOXEL_SIZE = (40.0, 4.24, 4.0)


def check(volume, data=DATA):
    assert (volume.shape, volume.dtype) == (data.shape, data.dtype)
    np.testing.assert_array_equal(volume.read(), data)
    np.testing.assert_array_equal(volume[..., 1:4, ::2, -3:], data[..., 1:4, ::2, -3:])
    np.testing.assert_array_equal(volume[..., 2, :, :], data[..., 2, :, :])


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(("unit", "scale"), [("nm", 1), ("um", 1e-3), ("micron", 1e-3), ("\\u00B5m", 1e-3)])
def test_imagej_stack(tmp_path, compression, unit, scale):
    metadata = {"axes": "ZYX", "spacing": 40 * scale, "unit": unit}
    resolution = (1 / (4 * scale), 1 / (4.24 * scale))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, DATA, imagej=True, compression=compression, resolution=resolution, metadata=metadata)
    volume = open_volume(path)
    assert volume.voxel_size == pytest.approx(VOXEL_SIZE, rel=1e-6)
    assert volume.format == "ImageJ TIFF"
    check(volume)


def test_imagej_channels(tmp_path):
    data = np.stack([DATA, DATA + 1, DATA + 2])
    metadata = {"axes": "ZCYX", "spacing": 40, "unit": "nm"}
    stored = data.transpose(1, 0, 2, 3)
    tifffile.imwrite(tmp_path / "a.tif", stored, imagej=True, resolution=(1 / 4, 1 / 4.24), metadata=metadata)
    volume = open_volume(tmp_path / "a.tif")
    assert volume.axes == "czyx"
    check(volume, data)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_ome_tiff(tmp_path, compression):
    sizes = {"PhysicalSizeX": 4, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.00424, "PhysicalSizeZ": 400}
    metadata = {"axes": "ZYX", **sizes, "PhysicalSizeZUnit": "Å"}
    tifffile.imwrite(tmp_path / "a.ome.tif", DATA, ome=True, compression=compression, metadata=metadata)
    volume = open_volume(tmp_path / "a.ome.tif")
    assert volume.voxel_size == pytest.approx(VOXEL_SIZE, rel=1e-12)
    check(volume)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"bigtiff": True}])
def test_plain_tiff_needs_a_voxel_size(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", DATA, photometric="minisblack", **options)
    with pytest.raises(InputError, match=r"a TIFF without ImageJ or OME metadata carries none; .*--voxel-size 8,8,8"):
        open_volume(tmp_path / "a.tif")
    check(open_volume(tmp_path / "a.tif", voxel_size=VOXEL_SIZE))


def test_pages_written_one_by_one(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for section in DATA:
            writer.write(section, contiguous=False)
    check(open_volume(tmp_path / "a.tif", voxel_size=VOXEL_SIZE))
    pages = [Image.fromarray(section) for section in DATA]
    pages[0].save(tmp_path / "b.tif", save_all=True, append_images=pages[1:])
    volume = open_volume(tmp_path / "b.tif", voxel_size=VOXEL_SIZE)
    check(volume)
    assert dict(volume.rows())["stack axis"] == "the file calls it I, taken as z"


def test_only_the_sections_of_the_box_are_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", DATA, photometric="minisblack", compression="zlib", metadata={"axes": "ZYX"})
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        place, size = tiff.pages[4].dataoffsets[0], tiff.pages[4].databytecounts[0]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[place : place + size] = bytes(size)
    (tmp_path / "a.tif").write_bytes(content)
    volume = open_volume(tmp_path / "a.tif", voxel_size=VOXEL_SIZE)
    np.testing.assert_array_equal(volume[:4], DATA[:4])
    with pytest.raises(InputError, match=r"a\.tif cannot be read"):
        volume[4]


def test_damaged_and_coloured_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", DATA, photometric="minisblack")
    whole = (tmp_path / "a.tif").read_bytes()
    for name, content in [("cut.tif", whole[:-200]), ("text.tif", b"hello"), ("zero.tif", b"")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name} (cannot be read as TIFF|is truncated or damaged)") as caught:
            open_volume(tmp_path / name, voxel_size=VOXEL_SIZE)
        assert "\n" not in str(caught.value)
    pages = [Image.fromarray(section) for section in DATA]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "pages.tif").write_bytes((tmp_path / "pages.tif").read_bytes()[:-400])
    with pytest.raises(InputError, match=r"pages\.tif is truncated or damaged"):
        open_volume(tmp_path / "pages.tif", voxel_size=VOXEL_SIZE)
    photograph = np.random.default_rng(0).integers(0, 256, (5, 7, 11, 3), np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", photograph, photometric="rgb")
    with pytest.raises(InputError, match="is a colour image; wanted grey, or ids"):
        open_volume(tmp_path / "rgb.tif", voxel_size=VOXEL_SIZE)


def write_sections(folder, suffix, data=DATA, numbers=None):
    folder.mkdir()
    for number, section in zip(numbers or range(8, 8 + len(data)), data, strict=True):
        name = folder / f"section_{number}{suffix}"
        tifffile.imwrite(name, section) if suffix == ".tif" else Image.fromarray(section).save(name)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_folder_of_sections_in_the_order_of_their_numbers(tmp_path, suffix, dtype):
    data = DATA.astype(dtype)
    write_sections(tmp_path / "a", suffix, data)
    (tmp_path / "a/notes.txt").write_text("microscope on fire")
    with pytest.raises(InputError, match=r"a folder of sections carries none; .*--voxel-size"):
        open_volume(tmp_path / "a")
    check(open_volume(tmp_path / "a", voxel_size=VOXEL_SIZE), data)


def test_folder_with_gaps_says_so(tmp_path):
    write_sections(tmp_path / "a", ".png", numbers=[1, 2, 4, 5, 8])
    rows = dict(open_volume(tmp_path / "a", voxel_size=VOXEL_SIZE).rows())
    assert "3 are left out (3, 6, 7): the sections around are read as neighbours" in rows["warning"]
    assert rows["sections"] == "section_1.png … section_8.png"


def test_sections_numbered_by_time_stamps_take_little_memory(tmp_path):
    """All numbers between them were listed: 11 GB for three sections."""
    write_sections(tmp_path / "a", ".png", numbers=[20260101000000 + days * 1000000 for days in range(5)])
    tracemalloc.start()
    rows = dict(open_volume(tmp_path / "a", voxel_size=VOXEL_SIZE).rows())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "warning" not in rows
    assert peak < 10e6


def test_folder_with_sections_that_do_not_fit(tmp_path):
    write_sections(tmp_path / "a", ".png")
    Image.fromarray(DATA[0, :3]).save(tmp_path / "a/section_10.png")
    volume = open_volume(tmp_path / "a", voxel_size=VOXEL_SIZE)
    np.testing.assert_array_equal(volume[:2], DATA[:2])
    with pytest.raises(InputError, match=r"section_10\.png is \(3, 11\) uint16; all sections must be \(7, 11\)"):
        volume.read()
    (tmp_path / "a/section_10.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"section_10\.png cannot be read"):
        volume.read()
    Image.fromarray(np.zeros((7, 11, 3), np.uint8)).save(tmp_path / "a/section_10.png")
    with pytest.raises(InputError, match=r"section_10\.png is \(7, 11\) uint8"):
        volume.read()
    tifffile.imwrite(tmp_path / "a/section_99.tif", DATA[0])
    with pytest.raises(InputError, match=r"mixes images of the kinds \.png, \.tif"):
        open_volume(tmp_path / "a", voxel_size=VOXEL_SIZE)


def test_ids_as_colours(tmp_path):
    ids = np.random.default_rng(0).integers(0, 2**24, DATA.shape, np.uint32)
    ids[0, 0] = 0
    bytes_ = ids[..., None] >> np.array([0, 8, 16], np.uint32) & 255
    opaque = np.concatenate([bytes_, np.full((*ids.shape, 1), 255)], axis=-1).astype(np.uint8)
    for folder, alpha in (("opaque", 255), ("whole", 3)):
        opaque[..., 3] = alpha
        (tmp_path / folder).mkdir()
        for number, section in enumerate(opaque):
            Image.fromarray(section).save(tmp_path / folder / f"labels_{number:05}.png")
        expected = ids if alpha == 255 else ids + np.uint32(alpha << 24)
        volume = open_volume(tmp_path / folder, voxel_size=(8, 8, 8))
        check(volume, expected)
        assert dict(volume.rows())["colours"].startswith("read as ids")
    one = open_volume(tmp_path / "opaque/labels_00002.png", voxel_size=(8, 8, 8))
    np.testing.assert_array_equal(one.read(), ids[2:3])
    for suffix, dtype in ((".png", np.uint16), (".tif", np.uint32)):
        write_sections(tmp_path / suffix, suffix, DATA.astype(dtype))
        assert "colours" not in dict(open_volume(tmp_path / suffix, voxel_size=(8, 8, 8)).rows())
