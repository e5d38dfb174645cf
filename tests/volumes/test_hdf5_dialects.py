"""HDF5 files as Imaris, MATLAB and BigDataViewer write them."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from clew.errors import InputError
from clew.volumes import open_volume

DATA = np.random.default_rng(0).integers(0, 65_535, (5, 6, 7), np.uint16)
SIZE = (40.0, 4.0, 4.0)


def characters(value) -> np.ndarray:
    return np.frombuffer(str(value).encode(), "S1")


def write_imaris(path: Path, channels: int = 1, unit: str = "um", **left_out) -> Path:
    with h5py.File(path, "w") as file:
        image = file.create_group("DataSetInfo/Image").attrs
        for axis, (name, size) in enumerate(zip("XYZ", DATA.shape[::-1], strict=True)):
            low = (axis + 1) / 10
            image[name] = characters(size)
            image[f"ExtMin{axis}"], image[f"ExtMax{axis}"] = (
                characters(low),
                characters(low + size * SIZE[2 - axis] / 1e3),
            )
        image["Unit"] = characters(unit)
        for level, data in enumerate((DATA, DATA[:4:2, ::2, :6:2])):
            for channel in range(channels):
                group = file.create_group(f"DataSet/ResolutionLevel {level}/TimePoint 0/Channel {channel}")
                for name, size in zip("ZYX", data.shape, strict=True):
                    group.attrs[f"ImageSize{name}"] = characters(size)
                group["Data"] = np.pad(data, [(0, -size % 8) for size in data.shape])
                group["Histogram"] = np.zeros(256, np.uint64)
        file["Thumbnail/Data"] = np.zeros((4, 16), np.uint8)
    return path


def test_imaris_is_cut_to_its_size_and_knows_its_place(tmp_path):
    path = write_imaris(tmp_path / "a.ims")
    volume = open_volume(path)
    np.testing.assert_array_equal(volume.read(), DATA)
    assert volume.voxel_size == pytest.approx(SIZE)
    assert volume.offset == pytest.approx((300, 200, 100))
    coarse = open_volume(f"{path}:1")
    np.testing.assert_array_equal(coarse.read(), DATA[:4:2, ::2, :6:2])
    assert coarse.voxel_size == pytest.approx((100, 8, 28 / 3))
    assert coarse.offset == pytest.approx((330, 202, 100 + (28 / 3 - 4) / 2))
    with pytest.raises(InputError, match=r"holds 4 datasets, choose one .*Channel 1/Data"):
        open_volume(write_imaris(tmp_path / "two.ims", channels=2))
    with pytest.raises(InputError, match="no ExtMin, ExtMax and unit of length; give it as --voxel-size"):
        open_volume(write_imaris(tmp_path / "pixels.ims", unit="pixel"))


def test_matlab_is_read_as_the_file_holds_it_and_says_so(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["A"] = DATA
        file["A"].attrs["MATLAB_class"] = np.bytes_("uint16")
        file["#refs#/b"] = DATA
        file["none"] = np.zeros(2, np.uint64)
        file["none"].attrs["MATLAB_class"] = np.bytes_("double")
    with open(tmp_path / "a.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    volume = open_volume(tmp_path / "a.mat", voxel_size=SIZE)
    np.testing.assert_array_equal(volume.read(), DATA)
    assert volume.noticed[0].startswith("MATLAB's A(i, j, k) is read with i as x and j as y")
    (tmp_path / "old.mat").write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(600))
    with pytest.raises(InputError, match=r"old\.mat is not read: it is MATLAB before 7\.3: .*'-v7\.3'"):
        open_volume(tmp_path / "old.mat")


def write_bigdataviewer(folder: Path, unit: str = "um", setups: int = 1, kind: str = "bdv.hdf5") -> Path:
    views = "".join(
        f"<ViewSetup><id>{n}</id><size>7 6 5</size><voxelSize><unit>{unit}</unit><size>0.004 0.004 0.04</size></voxelSize>"
        "</ViewSetup>"
        for n in range(setups)
    )
    (folder / "a.xml").write_text(
        f'<SpimData version="0.2"><SequenceDescription><ImageLoader format="{kind}"><hdf5 type="relative">a.h5</hdf5>'
        f"</ImageLoader><ViewSetups>{views}</ViewSetups></SequenceDescription></SpimData>"
    )
    with h5py.File(folder / "a.h5", "w") as file:
        for setup in range(setups):
            file[f"s{setup:02d}/resolutions"] = np.array([[1.0, 1, 1], [2, 2, 1]])
            file[f"s{setup:02d}/subdivisions"] = np.array([[4, 4, 4], [4, 4, 4]], np.int32)
            for level, data in enumerate((DATA, DATA[:, ::2, ::2])):
                stored = data.view(np.int16) if data.flags.c_contiguous else data.copy().view(np.int16)
                file.create_dataset(f"t00000/s{setup:02d}/{level}/cells", data=stored, chunks=(4, 3, 4))
    return folder / "a.xml"


@pytest.mark.parametrize("name", ["a.xml", "a.h5"])
def test_bigdataviewer_is_unsigned_and_takes_its_size_from_the_xml(tmp_path, name):
    write_bigdataviewer(tmp_path)
    volume = open_volume(tmp_path / name)
    assert volume.dtype == np.uint16
    np.testing.assert_array_equal(volume.read(), DATA)
    assert volume.voxel_size == pytest.approx(SIZE)
    coarse = open_volume(f"{tmp_path / name}:1")
    np.testing.assert_array_equal(coarse[1:3], DATA[1:3, ::2, ::2])
    assert coarse.voxel_size == pytest.approx((40, 8, 8))
    assert coarse.offset == pytest.approx((0, 2, 2))


def test_bigdataviewer_without_what_it_needs(tmp_path):
    path = write_bigdataviewer(tmp_path, unit="pixels")
    with pytest.raises(
        InputError, match=r"no a\.xml beside it that says it in a unit of length; give it as --voxel-size"
    ):
        open_volume(path)
    np.testing.assert_array_equal(open_volume(path, voxel_size=SIZE).read(), DATA)
    with pytest.raises(InputError, match=r"holds 4 datasets, choose one .*t00000/s01/0/cells"):
        open_volume(write_bigdataviewer(tmp_path, setups=2))
    assert open_volume(f"{path}:t00000/s01/1/cells").voxel_size == pytest.approx((40, 8, 8))
    (tmp_path / "a.h5").unlink()
    with pytest.raises(InputError, match=r"a\.xml takes its data from a\.h5, which is not there"):
        open_volume(path)
    write_bigdataviewer(tmp_path, kind="bdv.n5")
    with pytest.raises(InputError, match=r"of the kind bdv\.n5; open it itself, for example .*/setup0/timepoint0/s0"):
        open_volume(path)
    path.write_text("<svg/>")
    with pytest.raises(InputError, match="not of BigDataViewer"):
        open_volume(path)
