"""KNOSSOS cubes, and skeletons in NML files."""

import numpy as np
import pytest

from clew import cli
from clew.errors import InputError
from clew.volumes import open_volume
from clew.volumes.formats.nml import read_nml
from volumes.foreign import EDGE, write_cubes

VOXEL_SIZE = (28.0, 11.24, 11.24)


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    data = np.random.default_rng(0).integers(1, 256, (130, 20, 257), np.uint8)
    folder = tmp_path_factory.mktemp("cubes")
    write_cubes(folder, data, missing={(1, 0, 1)})
    data[128:, :, 128:256] = 0
    return folder, data


def test_cubes_are_read_in_the_order_of_knossos(cubes):
    folder, data = cubes
    volume = open_volume(folder)
    assert (volume.shape, volume.dtype, volume.voxel_size) == (data.shape, np.uint8, VOXEL_SIZE)
    assert (volume.format, volume.chunks, volume.axes) == ("KNOSSOS cubes", (EDGE,) * 3, "zyx")
    np.testing.assert_array_equal(volume.read(), data)
    for box in (np.s_[126:130, 3:5, 120:140], np.s_[5, :, 255:], np.s_[::3, ::2, 1::50], np.s_[129:, 4:4, :]):
        np.testing.assert_array_equal(volume[box], data[box])
    first = np.fromfile(folder / "x0002/y0000/z0000/ex145_mag1_x0002_y0000_z0000.raw", np.uint8)
    assert first[2 * EDGE + 3 * EDGE**2] == data[3, 2, 256]


def test_only_the_cubes_of_the_box_are_read(tmp_path):
    data = np.full((4, 4, 200), 7, np.uint8)
    write_cubes(tmp_path, data)
    cut = tmp_path / "x0001/y0000/z0000/ex145_mag1_x0001_y0000_z0000.raw"
    cut.write_bytes(cut.read_bytes()[:1000])
    volume = open_volume(tmp_path / "knossos.conf")
    assert (volume[:, :, :128] == 7).all()
    with pytest.raises(InputError, match=r"x0001_y0000_z0000\.raw has 1000 bytes; .* truncated"):
        volume.read()


def test_labels_and_magnifications(tmp_path):
    ids = np.arange(3 * 4 * 5, dtype=np.uint32).reshape(3, 4, 5) + 70000
    write_cubes(tmp_path / "mag1", ids)
    (tmp_path / "mag1/knossos.conf").rename(tmp_path / "knossos.conf")
    volume = open_volume(tmp_path)
    assert volume.dtype == np.uint32
    np.testing.assert_array_equal(volume.read(), ids)


def test_cubes_are_described_and_converted(cubes, tmp_path, capsys):
    folder, data = cubes
    cli.main(["info", str(folder)])
    assert "KNOSSOS cubes" in capsys.readouterr().out
    cli.main(["convert", str(folder), f"{tmp_path}/raw.zarr"])
    copy = open_volume(tmp_path / "raw.zarr")
    assert copy.voxel_size == VOXEL_SIZE
    np.testing.assert_array_equal(copy.read(), data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "knossos.conf").write_text("boundary x 9;"), "it lacks boundary y"),
        (lambda folder: (folder / "knossos.conf").write_text("boundary x nine;"), "must be numbers"),
        (lambda folder: next(folder.rglob("*.raw")).unlink(), "no raw cube"),
        (lambda folder: next(folder.rglob("*.raw")).write_bytes(b"short"), "has 5 bytes; wanted a cube of 128"),
    ],
)
def test_damaged_cubes_are_refused(tmp_path, change, message):
    write_cubes(tmp_path, np.ones((2, 2, 2), np.uint8))
    change(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        open_volume(tmp_path)
    assert "\n" not in str(caught.value)


def test_compressed_and_doubled_cubes_are_refused(tmp_path):
    write_cubes(tmp_path, np.ones((2, 2, 130), np.uint8))
    cube = tmp_path / "x0001/y0000/z0000/ex145_mag1_x0001_y0000_z0000.raw"
    copy = cube.with_name("copy.raw")
    copy.write_bytes(cube.read_bytes())
    with pytest.raises(InputError, match="must hold one raw file, its cube, not 2"):
        open_volume(tmp_path).read()
    copy.unlink()
    cube.rename(cube.with_suffix(".jpg"))
    with pytest.raises(InputError, match="compressed cube"):
        open_volume(tmp_path).read()


NML = """<?xml version="1.0"?><things>
<parameters><experiment name="e"/><scale x="11.24" y="11.24" z="28.0"/><offset x="0" y="0" z="0"/></parameters>
<thing id="5" color.r="1.0"><nodes>
<node id="1" radius="1.5" x="10" y="20" z="30" inVp="0" inMag="1" time="0"/><node id="2" x="13" y="20" z="30"/>
</nodes><edges><edge source="1" target="2"/></edges></thing>
<thing id="8"><nodes/><edges/></thing>
<thing id="9"><nodes><node id="4" x="0" y="0" z="2.5"/></nodes><edges/></thing>
<branchpoints/><comments><comment node="1" content="soma"/></comments></things>"""


def test_skeletons_of_nml(tmp_path):
    (tmp_path / "a.nml").write_text(NML)
    skeletons = read_nml(str(tmp_path / "a.nml"))
    assert skeletons.skeletons.tolist() == [5, 5, 9]
    assert skeletons.edges.tolist() == [[0, 1]]
    np.testing.assert_allclose(skeletons.positions[0], [30 * 28, 20 * 11.24, 10 * 11.24])
    np.testing.assert_allclose(skeletons.lengths, [3 * 11.24])
    (tmp_path / "micrometres.nml").write_text(NML.replace('z="28.0"', 'z="28.0" unit="micrometer"'))
    np.testing.assert_allclose(read_nml(str(tmp_path / "micrometres.nml")).lengths, [3 * 11240])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<things>", "<things", "cannot be read as NML"),
        ('<scale x="11.24" y="11.24" z="28.0"/>', "", "some of them are missing"),
        ('target="2"', 'target="4"', "a node that tree 5 does not have"),
        ('z="28.0"', 'z="28.0" unit="fathom"', "'fathom' of its scale is not a length"),
        ('x="13"', 'x="here"', "x of <node> must be a number"),
        ('z="28.0"', 'z="0"', "voxel size must be three positive"),
    ],
)
def test_damaged_nml_is_refused(tmp_path, old, new, message):
    (tmp_path / "a.nml").write_text(NML.replace(old, new))
    with pytest.raises(InputError, match=message) as caught:
        read_nml(str(tmp_path / "a.nml"))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="there is no file"):
        read_nml(str(tmp_path / "b.nml"))
