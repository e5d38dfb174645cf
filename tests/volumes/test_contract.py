"""Each format with each fault: the values, or an error that names the file in a few lines. Never anything else.

A format is a function that writes an array with a foreign library into a folder, and returns the path to open; a fault is
a function that damages what it wrote. Where a format has not what a fault damages, that fault is not tried.
"""

import gzip
import re
from pathlib import Path

import h5py
import mrcfile
import nrrd
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from clew.cli import CHARACTERS, LINES
from clew.errors import InputError
from clew.volumes import open_volume
from clew.volumes.warnings import volume_warnings
from volumes.foreign import write_cubes, write_precomputed, write_tensorstore

VOXEL_SIZE = (40.0, 4.0, 4.0)
DATA = np.random.default_rng(1).integers(1, 255, (8, 12, 16), np.uint8)


def zarr2(folder: Path) -> Path:
    zarr.create_array(folder / "a.zarr", data=DATA, chunks=(4, 4, 4), zarr_format=2)
    return folder / "a.zarr"


def zarr2_nested(folder: Path) -> Path:
    keys = {"name": "v2", "separator": "/"}
    zarr.create_array(folder / "a.zarr", data=DATA, chunks=(4, 4, 4), zarr_format=2, chunk_key_encoding=keys)
    return folder / "a.zarr"


def zarr3(folder: Path) -> Path:
    zarr.create_array(folder / "a.zarr", data=DATA, chunks=(4, 4, 4))
    return folder / "a.zarr"


def zarr3_sharded(folder: Path) -> Path:
    zarr.create_array(folder / "a.zarr", data=DATA, chunks=(2, 2, 2), shards=(4, 4, 4))
    return folder / "a.zarr"


def zarr2_raw(folder: Path) -> Path:
    zarr.create_array(folder / "a.zarr", data=DATA, chunks=(4, 4, 4), zarr_format=2, compressors=None)
    return folder / "a.zarr"


def zarr2_blosc(folder: Path) -> Path:
    codec = numcodecs.Blosc()
    zarr.create_array(folder / "a.zarr", data=DATA, chunks=(4, 4, 4), zarr_format=2, compressors=codec)
    return folder / "a.zarr"


def zarr3_raw(folder: Path) -> Path:
    zarr.create_array(folder / "a.zarr", data=DATA, chunks=(4, 4, 4), compressors=None)
    return folder / "a.zarr"


def n5_raw(folder: Path) -> Path:
    write_tensorstore("n5", folder / "a.n5", DATA.T, metadata={"blockSize": [4, 4, 4], "compression": {"type": "raw"}})
    return folder / "a.n5"


def precomputed_sharded(folder: Path) -> Path:
    sharding = {"@type": "neuroglancer_uint64_sharded_v1", "preshift_bits": 0, "minishard_bits": 1, "shard_bits": 2,
                "hash": "identity"}  # fmt: skip
    write_precomputed(folder / "a", DATA, chunk_size=[4, 4, 4], key="s", sharding=sharding)
    return folder / "a"


def precomputed_compressed(folder: Path) -> Path:
    blocks = {"encoding": "compressed_segmentation", "compressed_segmentation_block_size": [4, 4, 4]}
    write_precomputed(folder / "a", DATA.astype(np.uint32), chunk_size=[4, 4, 4], key="s", **blocks)
    return folder / "a"


def n5(folder: Path) -> Path:
    write_tensorstore("n5", folder / "a.n5", DATA.T, metadata={"blockSize": [4, 4, 4], "compression": {"type": "gzip"}})
    return folder / "a.n5"


def precomputed(folder: Path) -> Path:
    write_precomputed(folder / "a", DATA, chunk_size=[4, 4, 4], key="s")
    return folder / "a"


def knossos(folder: Path) -> Path:
    write_cubes(folder / "a", DATA)
    return folder / "a"


def hdf5(folder: Path) -> Path:
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("raw", data=DATA, chunks=(4, 4, 4), compression="gzip")
    return folder / "a.h5"


def npy(folder: Path) -> Path:
    np.save(folder / "a.npy", DATA)
    return folder / "a.npy"


def npz(folder: Path) -> Path:
    np.savez_compressed(folder / "a.npz", DATA)
    return folder / "a.npz"


def mrc(folder: Path) -> Path:
    with mrcfile.new(folder / "a.mrc") as file:
        file.set_data(DATA.astype(np.int16))
    return folder / "a.mrc"


def mrc_packed(folder: Path) -> Path:
    path = mrc(folder)
    (folder / "b.mrc.gz").write_bytes(gzip.compress(path.read_bytes()))
    return folder / "b.mrc.gz"


def nrrd_gzip(folder: Path) -> Path:
    nrrd.write(str(folder / "a.nrrd"), DATA.T)
    return folder / "a.nrrd"


def bigdataviewer(folder: Path) -> Path:
    with h5py.File(folder / "a.h5", "w") as file:
        file["s00/resolutions"] = np.ones((1, 3))
        file.create_dataset("t00000/s00/0/cells", data=DATA.astype(np.int16), chunks=(4, 4, 4), compression="gzip")
    return folder / "a.h5"


def tiff(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", DATA, photometric="minisblack", metadata={"axes": "ZYX"})
    return folder / "a.tif"


def tiff_lzw(folder: Path) -> Path:
    tifffile.imwrite(
        folder / "a.tif", DATA, photometric="minisblack", metadata={"axes": "ZYX"}, compression="lzw", bigtiff=True
    )
    return folder / "a.tif"


def tiff_sections(folder: Path) -> Path:
    (folder / "a").mkdir()
    for number, section in enumerate(DATA):
        tifffile.imwrite(folder / f"a/{number}.tif", section, photometric="minisblack", compression="zlib")
    return folder / "a"


def png_sections(folder: Path) -> Path:
    (folder / "a").mkdir()
    for number, section in enumerate(DATA):
        Image.fromarray(section).save(folder / f"a/{number}.png")
    return folder / "a"


def ome_tiff_set(folder: Path) -> Path:
    """A file for each section, and each names all."""
    (folder / "a").mkdir()
    planes = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{z}.ome.tif">urn:uuid:{z}</UUID></TiffData>'
        for z in range(len(DATA))
    )
    for z, section in enumerate(DATA):
        pixels = 'DimensionOrder="XYZCT" Type="uint8" SizeX="16" SizeY="12" SizeZ="8" SizeC="1" SizeT="1"'
        image = f'<Image ID="Image:0"><Pixels ID="Pixels:0" {pixels}>{planes}</Pixels></Image>'
        text = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{z}">{image}</OME>'
        tifffile.imwrite(folder / f"a/{z}.ome.tif", section, description=text, metadata=None)
    return folder / "a"


def pieces(path: Path) -> list[Path]:
    """The files that hold voxels, the largest first."""
    files = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if file.is_file()]
    metadata = ("zarr.json", ".zarray", ".zattrs", "attributes.json", "info", "knossos.conf")
    return sorted((file for file in files if file.name not in metadata), key=lambda file: -file.stat().st_size)


def missing_piece(path: Path) -> None:
    pieces(path)[0].unlink()


def empty_piece(path: Path) -> None:
    pieces(path)[0].write_bytes(b"")


def truncated_piece(path: Path) -> None:
    whole = pieces(path)[0].read_bytes()
    pieces(path)[0].write_bytes(whole[: len(whole) // 2])


def broken_link(path: Path) -> None:
    piece = pieces(path)[0]
    piece.unlink()
    piece.symlink_to(path / "gone")


def endless_device(path: Path) -> None:
    piece = pieces(path)[0]
    piece.unlink()
    piece.symlink_to("/dev/zero")


def folder_for_a_piece(path: Path) -> None:
    piece = pieces(path)[0]
    piece.unlink()
    piece.mkdir()


MAY_LACK_PIECES = (
    zarr2, zarr2_nested, zarr2_raw, zarr2_blosc, zarr3, zarr3_raw, zarr3_sharded, n5, n5_raw, precomputed,
    precomputed_compressed,
)  # fmt: skip
"""Formats that mean the fill value where a piece is missing."""
FORMATS = (
    *MAY_LACK_PIECES, precomputed_sharded, knossos, hdf5, tiff, tiff_lzw, tiff_sections, png_sections, ome_tiff_set,
)  # fmt: skip
FORMATS += (npy, npz, mrc, mrc_packed, nrrd_gzip, bigdataviewer)
FAULTS = (empty_piece, truncated_piece, folder_for_a_piece, broken_link, endless_device)


@pytest.mark.parametrize("write", FORMATS)
def test_what_is_whole_is_read_and_nothing_is_said(tmp_path, write):
    volume = open_volume(write(tmp_path), voxel_size=VOXEL_SIZE)
    volume.probe()
    np.testing.assert_array_equal(volume.read(), DATA)
    assert volume_warnings(volume) == []


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_damaged_is_refused(tmp_path, write, fault):
    path = write(tmp_path)
    fault(path)
    with pytest.raises(InputError) as caught:
        np.testing.assert_array_equal(open_volume(path, voxel_size=VOXEL_SIZE).read(), DATA)
    message = str(caught.value)
    assert path.name in message
    assert "FAILED_PRECONDITION" not in message
    assert len(message.splitlines()) <= LINES
    assert len(message) <= CHARACTERS


@pytest.mark.parametrize("write", MAY_LACK_PIECES)
def test_an_empty_chunk_is_called_empty(tmp_path, write):
    path = write(tmp_path)
    empty_piece(path)
    with pytest.raises(InputError, match=f"{pieces(path)[-1].name} is empty"):
        open_volume(path, voxel_size=VOXEL_SIZE).read()


@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize(
    "change",
    [
        lambda section: (section[:4], "minisblack"),
        lambda section: (section.astype(np.uint16), "minisblack"),
        lambda section: (section, "miniswhite"),
    ],
)
def test_an_image_of_another_kind_inside_a_stack_is_refused(tmp_path, compression, change):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for number, section in enumerate(DATA):
            values, photometric = change(section) if number == 2 else (section, "minisblack")
            file.write(values, photometric=photometric, compression=compression, metadata=None)
    with pytest.raises(InputError, match=r"a\.tif: image 2 is of another kind"):
        open_volume(tmp_path / "a.tif", voxel_size=VOXEL_SIZE).read()
    with pytest.raises(InputError, match=r"a\.tif: image 2 is of another kind"):
        open_volume(tmp_path / "a.tif", voxel_size=VOXEL_SIZE).probe()


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
@pytest.mark.parametrize(("content", "said"), [(b"", "empty"), (b"<html>", "a web page"), (b"GIF8", "GIF")])
def test_what_is_no_image_is_named(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} cannot be read( as TIFF)?: it is {said}"):
        open_volume(tmp_path / name, voxel_size=VOXEL_SIZE)


def another_size(file: Path) -> None:
    tifffile.imwrite(file, DATA[0, 1:], photometric="minisblack")


def other_numbers(file: Path) -> None:
    tifffile.imwrite(file, DATA[0].astype(np.uint16), photometric="minisblack")


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-4])


@pytest.mark.parametrize("fault", [another_size, other_numbers, cut_off, lambda file: file.write_bytes(b"")])
def test_a_section_that_does_not_fit_is_seen_without_reading_all(tmp_path, fault):
    path = tiff_sections(tmp_path)
    fault(path / "2.tif")
    with pytest.raises(InputError, match=r"2\.tif (is|cannot be read: it is empty)"):
        open_volume(path, voxel_size=VOXEL_SIZE).probe()


def test_a_picture_of_another_size_is_seen_without_reading_all(tmp_path):
    path = png_sections(tmp_path)
    Image.fromarray(DATA[0, 1:]).save(path / "2.png")
    with pytest.raises(InputError, match=r"2\.png is \(11, 16\)"):
        open_volume(path, voxel_size=VOXEL_SIZE).probe()


def test_cubes_that_are_left_out_are_counted(tmp_path):
    write_cubes(tmp_path / "a", np.ones((200, 9, 10), np.uint8), missing={(0, 0, 0)})
    volume = open_volume(tmp_path / "a")
    volume.probe()
    assert volume_warnings(volume) == ["1 of 2 cubes are not stored and read as 0"]


def test_chunks_of_a_missing_shard_of_precomputed_are_counted(tmp_path):
    path = precomputed_sharded(tmp_path)
    missing_piece(path)
    volume = open_volume(path, voxel_size=VOXEL_SIZE)
    lost = (volume.read() != DATA).sum() / 64
    (said,) = volume_warnings(volume)
    assert re.match(f"{round(lost)} of 24 chunks are not stored and read as 0", said)
    assert 6 < lost <= 8


@pytest.mark.parametrize("write", MAY_LACK_PIECES)
def test_pieces_that_are_left_out_are_counted(tmp_path, write):
    path = write(tmp_path)
    missing_piece(path)
    volume = open_volume(path, voxel_size=VOXEL_SIZE)
    (said,) = volume_warnings(volume)
    assert re.match("1 of 24 (chunks|shards) are not stored and read as 0", said)
    volume.probe()
    differs = volume.read() != DATA
    assert 0 < differs.sum() <= 64
    assert not volume.read()[differs].any()
