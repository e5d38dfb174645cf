"""Arrays of numpy, MRC and NRRD, as their own libraries write them."""

import bz2
import gzip
import warnings
from pathlib import Path

import mrcfile
import nrrd
import numpy as np
import pytest

from clew.errors import InputError
from clew.volumes import open_volume
from clew.volumes.warnings import volume_warnings

DATA = np.random.default_rng(0).integers(0, 100, (5, 6, 7), np.uint8)
SIZE = (40.0, 4.0, 8.0)


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path, order):
    np.save(tmp_path / "a.npy", np.asarray(DATA, order=order))
    with pytest.raises(InputError, match="an array of numpy carries none; give it as --voxel-size"):
        open_volume(tmp_path / "a.npy")
    volume = open_volume(tmp_path / "a.npy", voxel_size=SIZE)
    np.testing.assert_array_equal(volume[1:4, ::2, -3:], DATA[1:4, ::2, -3:])
    np.testing.assert_array_equal(volume.read(), DATA)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    save(tmp_path / "a.npz", raw=DATA, ids=np.arange(4))
    np.testing.assert_array_equal(open_volume(tmp_path / "a.npz", voxel_size=SIZE).read(), DATA)
    save(tmp_path / "b.npz", raw=DATA, labels=DATA + 1)
    with pytest.raises(InputError, match=r"holds 2 datasets, choose one \(as .*b\.npz:raw\)"):
        open_volume(tmp_path / "b.npz")
    np.testing.assert_array_equal(open_volume(f"{tmp_path}/b.npz:labels", voxel_size=SIZE).read(), DATA + 1)


def test_numpy_files_that_are_none(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([[[None]]]), allow_pickle=True)
    np.save(tmp_path / "flat.npy", DATA[0])
    np.savez(tmp_path / "a.npz", raw=DATA)
    np.save(tmp_path / "cut.npy", DATA)
    for name in ("a.npz", "cut.npy"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-50])
    for name in ("objects.npy", "flat.npy", "a.npz", "cut.npy"):
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            open_volume(tmp_path / name, voxel_size=SIZE)


@pytest.mark.parametrize("suffix", ["npy", "npz", "mrc", "nrrd"])
def test_arrays_that_are_empty_or_pointers(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    for content, said in ((b"", "empty"), (b"version https://git-lfs", "a pointer of Git LFS")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"cannot be read as .*: it is {said}"):
            open_volume(path, voxel_size=SIZE)


def test_mrc_of_programs_that_know_no_size(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(DATA.astype(np.int16))
        file.voxel_size = 1.0
    (said,) = volume_warnings(open_volume(tmp_path / "a.mrc"))
    assert "voxels of 1 Å" in said
    assert "--voxel-size" in said


def write_mrc(path: Path, data: np.ndarray, **header) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with mrcfile.new(path, overwrite=True) as file:
            file.set_data(data)
            file.voxel_size = (80, 40, 400)
            for name, value in header.items():
                setattr(file.header, name, value)
    return path


@pytest.mark.parametrize("kind", ["i1", "i2", "f4", "u2", "f2"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_modes_of_mrc(tmp_path, kind, order):
    path = write_mrc(tmp_path / "a.mrc", DATA.astype(f"{order}{kind}"))
    volume = open_volume(path)
    with mrcfile.open(path, permissive=True) as file:
        np.testing.assert_array_equal(volume.read(), file.data)
    assert volume.voxel_size == pytest.approx(SIZE)
    assert bool(volume.noticed) == (kind == "i1")


@pytest.mark.parametrize("pack", [gzip, bz2])
def test_packed_mrc_with_an_extended_header(tmp_path, pack):
    with mrcfile.new(tmp_path / "a.rec") as file:
        file.set_data(DATA.astype(np.int16))
        file.set_extended_header(np.zeros(100, "V1"))
        file.voxel_size = (80, 40, 400)
    whole = (tmp_path / "a.rec").read_bytes()
    name = tmp_path / f"a.rec.{'gz' if pack is gzip else 'bz2'}"
    name.write_bytes(pack.compress(whole))
    np.testing.assert_array_equal(open_volume(tmp_path / "a.rec").read(), DATA)
    np.testing.assert_array_equal(open_volume(name).read(), DATA)
    (tmp_path / "a.rec").write_bytes(whole[:-1])
    with pytest.raises(InputError, match=r"a\.rec is truncated"):
        open_volume(tmp_path / "a.rec")
    (tmp_path / "a.rec").write_bytes(b"hello")
    with pytest.raises(InputError, match=r"a\.rec cannot be read as MRC"):
        open_volume(tmp_path / "a.rec")


def test_bytes_and_half_bytes_of_imod(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", (DATA * 2).view(np.int8))
    whole = bytearray(path.read_bytes())
    whole[152:156] = (1146047817).to_bytes(4, "little")
    path.write_bytes(whole)
    volume = open_volume(path)
    np.testing.assert_array_equal(volume.read(), DATA * 2)
    assert (volume.dtype, volume.noticed) == (np.uint8, ())
    whole[156] = 1
    path.write_bytes(whole)
    np.testing.assert_array_equal(open_volume(path).read(), (DATA * 2).view(np.int8))
    small = DATA % 16
    packed = np.pad(small, [(0, 0), (0, 0), (0, 1)])
    whole[12:16] = (101).to_bytes(4, "little")
    path.write_bytes(whole[:1024] + (packed[..., ::2] | packed[..., 1::2] << 4).tobytes())
    np.testing.assert_array_equal(open_volume(path).read(), small)
    np.testing.assert_array_equal(open_volume(path)[1:3, 2, 1:6:2], small[1:3, 2, 1:6:2])
    whole[12:16] = (4).to_bytes(4, "little")
    path.write_bytes(whole)
    with pytest.raises(InputError, match="MRC mode 4; read are 0, 1, 2, 6, 12 and 101"):
        open_volume(path)


def test_axes_of_mrc(tmp_path):
    path = write_mrc(
        tmp_path / "a.map", DATA.astype(np.float32), mapc=3, mapr=2, maps=1, mx=5, mz=7, cella=(400, 240, 280)
    )
    volume = open_volume(path)
    np.testing.assert_array_equal(volume.read(), DATA.T)
    assert volume.voxel_size == pytest.approx((4, 4, 8))
    with pytest.raises(InputError, match="its header has no cell; give it as --voxel-size"):
        open_volume(write_mrc(tmp_path / "b.map", DATA.astype(np.float32), cella=(0, 0, 0)))
    with pytest.raises(InputError, match="mapc, mapr and maps must be"):
        open_volume(write_mrc(tmp_path / "c.map", DATA.astype(np.float32), mapc=2, mapr=2, maps=3))


DIRECTIONS = np.diag([0.008, 0.004, 0.04])


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
@pytest.mark.parametrize("detached", [False, True])
def test_nrrd(tmp_path, encoding, detached):
    header = {"space dimension": 3, "space directions": DIRECTIONS, "space units": ["um"] * 3, "encoding": encoding}
    path = tmp_path / ("a.nhdr" if detached else "a.nrrd")
    nrrd.write(str(path), DATA.T, header, detached_header=detached)
    volume = open_volume(path)
    np.testing.assert_array_equal(volume.read(), nrrd.read(str(path))[0].T)
    np.testing.assert_array_equal(volume.read(), DATA)
    assert volume.voxel_size == pytest.approx(SIZE)
    for data in tmp_path.glob("a.raw*") if detached else ():
        data.unlink()
        with pytest.raises(InputError, match=r"a\.nhdr takes its data from a\.raw.*, which is not there"):
            open_volume(path)


def test_space_directions_of_nrrd(tmp_path):
    header = {"space dimension": 3, "space units": ["nm"] * 3, "space origin": [30.0, 20.0, 10.0]}
    path = str(tmp_path / "a.nrrd")
    nrrd.write(path, DATA, header | {"space directions": np.diag([40.0, 4, 8])[:, ::-1]})  # z is fastest in the file
    volume = open_volume(path)
    np.testing.assert_array_equal(volume.read(), DATA)
    assert (volume.voxel_size, volume.offset) == ((40, 4, 8), (10, 20, 30))
    nrrd.write(path, DATA.T, header | {"space directions": np.diag([-8.0, -4, 40])})
    volume = open_volume(path)
    np.testing.assert_array_equal(volume.read(), DATA)
    assert (volume.voxel_size, volume.offset) == (SIZE, (0, 0, 0))
    assert "x and y run backwards in space" in volume_warnings(volume)[0]
    nrrd.write(path, DATA.T, header | {"space directions": [[8, 1, 0], [-1, 4, 0], [0, 0, 40]]})
    assert "its space directions are oblique" in volume_warnings(open_volume(path))[0]


def test_channels_and_sizes_of_nrrd(tmp_path):
    several = np.stack([DATA, DATA + 1])
    kinds = ["vector", "domain", "domain", "domain"]
    header = {"kinds": kinds, "spacings": [np.nan, 8.0, 4, 40], "units": ["", "nm", "nm", "nm"]}
    nrrd.write(str(tmp_path / "a.nrrd"), several.transpose(0, 3, 2, 1), header)
    volume = open_volume(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(volume.read(), several)
    assert (volume.axes, volume.voxel_size) == ("czyx", SIZE)
    nrrd.write(str(tmp_path / "b.nrrd"), DATA.T, {"space directions": DIRECTIONS, "space": "left-posterior-superior"})
    with pytest.raises(InputError, match="its space directions have no unit of length; give it as --voxel-size"):
        open_volume(tmp_path / "b.nrrd")
    nrrd.write(str(tmp_path / "c.nrrd"), DATA.T)
    whole = (tmp_path / "c.nrrd").read_bytes()
    for content in (whole[:-30], whole[:40], b"NRRD0004\ntype: nonsense\n\n"):
        (tmp_path / "c.nrrd").write_bytes(content)
        with pytest.raises(InputError, match=r"c\.nrrd"):
            open_volume(tmp_path / "c.nrrd", voxel_size=SIZE).read()
    (tmp_path / "secret.raw").write_bytes(DATA.tobytes())
    (tmp_path / "inner").mkdir()
    text = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 7 6 5\nencoding: raw\ndata file: ../secret.raw\n\n"
    (tmp_path / "inner/a.nhdr").write_text(text)
    with pytest.raises(InputError, match="outside of its folder"):
        open_volume(tmp_path / "inner/a.nhdr")
