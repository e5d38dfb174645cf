"""What the numbers of images mean: 0 as white, palettes, colours, compressions."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from clew.errors import InputError
from clew.volumes import open_volume

SIZE = (40.0, 4.0, 4.0)
RAW = np.random.default_rng(1).integers(0, 256, (4, 32, 48), np.uint8)
IDS = np.random.default_rng(2).integers(1, 2**24, (4, 8, 12), np.uint32).repeat(4, 1).repeat(4, 2)
GREYS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def opened(path):
    return open_volume(path, voxel_size=SIZE)


def said(path):
    return " ".join(opened(path).noticed)


@pytest.mark.parametrize("compression", [None, "lzw", "packbits", "zlib", "zstd", "lzma"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float32])
@pytest.mark.parametrize(
    "options", [{}, {"byteorder": ">"}, {"tile": (16, 16)}, {"predictor": True}, {"bigtiff": True}]
)
def test_compressions(tmp_path, compression, dtype, options):
    if options.get("predictor") and compression not in ("lzw", "zlib", "zstd"):
        return
    data = RAW.astype(dtype) - dtype(100 if np.dtype(dtype).kind in "if" else 0)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack", compression=compression, **options)
    (tmp_path / "a").mkdir()
    for z, section in enumerate(data):
        tifffile.imwrite(tmp_path / f"a/{z}.tif", section, photometric="minisblack", compression=compression, **options)
    for name in ("a.tif", "a"):
        volume = opened(tmp_path / name)
        assert volume.dtype == dtype
        np.testing.assert_array_equal(volume.read(), data)
        np.testing.assert_array_equal(volume[1:3, 5:9, 30:], data[1:3, 5:9, 30:])


@pytest.mark.parametrize(
    ("dtype", "bits"), [(np.uint8, 8), (np.uint16, 16), (np.uint16, 12), (np.uint32, 32), (bool, 1)]
)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_zero_is_white(tmp_path, dtype, bits, compression):
    picture = (RAW > 90) if dtype is bool else RAW.astype(dtype)
    stored = ~picture if dtype is bool else dtype(2**bits - 1) - picture
    options = {"photometric": "miniswhite", "compression": compression if bits != 12 else None}
    options |= {"bitspersample": 12} if bits == 12 else {}
    tifffile.imwrite(tmp_path / "a.tif", stored, **options)
    (tmp_path / "a").mkdir()
    for z, section in enumerate(stored):
        tifffile.imwrite(tmp_path / f"a/{z}.tif", section, **options)
    for name in ("a.tif", "a"):
        volume = opened(tmp_path / name)
        assert volume.dtype == dtype
        np.testing.assert_array_equal(volume.read(), picture)
        np.testing.assert_array_equal(volume[2, 3:9, ::2], picture[2, 3:9, ::2])
        assert f"0 is white in this file: {2**bits - 1} − stored is read" in said(tmp_path / name)


def test_zero_is_white_among_numbers_without_a_largest(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RAW.astype(np.float32), photometric="miniswhite")
    np.testing.assert_array_equal(opened(tmp_path / "a.tif").read(), RAW)
    assert "0 is white in this file; its float32 are read as stored" in said(tmp_path / "a.tif")


def write_images(folder, images, suffix=".png"):
    folder.mkdir()
    for z, image in enumerate(images):
        image.save(folder / f"{z}{suffix}")


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_colours(tmp_path, mode, suffix):
    """A first section that is black may be the beginning of anything."""
    data = RAW.copy()
    data[0] = 0
    write_images(tmp_path / "a", [Image.fromarray(section).convert(mode) for section in data], suffix)
    np.testing.assert_array_equal(opened(tmp_path / "a").read(), data)
    assert opened(tmp_path / "a").dtype == np.uint8
    ids = np.stack([IDS >> 8 * byte & 255 for byte in range(3)], -1).astype(np.uint8)
    Image.fromarray(ids[1]).save(tmp_path / f"a/2{suffix}")
    with pytest.raises(InputError, match="is a colour image, those before it are grey"):
        opened(tmp_path / "a").read()


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_colours_that_are_ids(tmp_path, planar, compression):
    ids = IDS.copy()
    ids[0] = 0
    colours = np.stack([ids >> 8 * byte & 255 for byte in range(3)], -1).astype(np.uint8)
    write_images(tmp_path / "a", map(Image.fromarray, colours))
    stored = np.moveaxis(colours, -1, 1) if planar == "separate" else colours
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, compression=compression)
    for name in ("a", "a.tif"):
        np.testing.assert_array_equal(opened(tmp_path / name).read(), ids)
        assert "colours are read as ids, R + 256 G + 256² B" in said(tmp_path / name)


def test_pictures_in_colour_are_no_ids(tmp_path):
    photograph = np.random.default_rng(3).integers(0, 256, (4, 32, 48, 3), np.uint8)
    photograph[:, :20] = 0  # a black border
    drawing = np.repeat(RAW[..., None], 3, -1)
    drawing[:, 5:12, 5:12] = (255, 0, 0)  # an annotation drawn over the raw
    for name, images in (("photograph", photograph), ("drawing", drawing)):
        write_images(tmp_path / name, map(Image.fromarray, images))
        with pytest.raises(InputError, match=r"0\.png is a colour image; wanted grey, or ids: save ids as numbers"):
            opened(tmp_path / name)
    write_images(
        tmp_path / "lossy", [Image.fromarray(np.uint8([[[200, 9, 9]]]).repeat(32, 0).repeat(32, 1))] * 2, ".jpg"
    )
    with pytest.raises(InputError, match=r"0\.jpg is a colour image"):
        opened(tmp_path / "lossy")


def with_palette(indices, palette):
    image = Image.fromarray(indices).convert("P")
    image = Image.frombytes("P", image.size, indices.tobytes())
    image.putpalette(palette)
    return image


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_palettes(tmp_path, suffix):
    turned = [value for index in range(256) for value in (255 - index,) * 3]
    write_images(tmp_path / "grey", [with_palette(section, turned) for section in RAW], suffix)
    np.testing.assert_array_equal(opened(tmp_path / "grey").read(), 255 - RAW)
    assert "the grey of the palette is read, not its indices" in said(tmp_path / "grey")
    colours = [int(value) for value in np.random.default_rng(4).permutation(768) % 256]
    write_images(tmp_path / "coloured", [with_palette(section, colours) for section in RAW], suffix)
    np.testing.assert_array_equal(opened(tmp_path / "coloured").read(), RAW)
    assert "the indices of the palette are read, not its colours" in said(tmp_path / "coloured")
    with_palette(RAW[2], colours[::-1]).save(tmp_path / f"coloured/2{suffix}")
    with pytest.raises(InputError, match=r"has other colours than the images before it"):
        opened(tmp_path / "coloured").read()


def test_palette_of_a_stack(tmp_path):
    colormap = np.random.default_rng(5).integers(0, 2**16, (3, 256), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", RAW, photometric="palette", colormap=colormap)
    np.testing.assert_array_equal(opened(tmp_path / "a.tif").read(), RAW)
    tifffile.imwrite(
        tmp_path / "b.tif", RAW, photometric="palette", colormap=np.arange(256)[::-1] * 257 * np.ones((3, 1), int)
    )
    np.testing.assert_array_equal(opened(tmp_path / "b.tif").read(), 255 - RAW)


def test_sixteen_bits_of_grey_in_colours(tmp_path):
    """Pillow makes 8 bits of them."""
    import imagecodecs

    deep = RAW[0].astype(np.uint16) * 200 + 7
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.repeat(deep[..., None], 3, -1)))
    np.testing.assert_array_equal(opened(tmp_path / "a.png").read()[0], deep)


def test_numbers_that_are_no_colours(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((4, 8, 8, 5), np.uint8), photometric="minisblack", planarconfig="contig"
    )
    with pytest.raises(InputError, match=r"5 numbers for each pixel \(MINISBLACK\), which is not understood"):
        opened(tmp_path / "a.tif")
    write_images(tmp_path / "cmyk", [Image.fromarray(RAW[0]).convert("CMYK")], ".jpg")
    with pytest.raises(InputError, match=r"is a colour image \(CMYK\)"):
        opened(tmp_path / "cmyk")
