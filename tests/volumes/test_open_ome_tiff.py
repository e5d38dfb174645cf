"""OME-TIFF sets: one volume, whichever of their files is opened."""

import uuid

import numpy as np
import pytest
import tifffile

from clew.errors import InputError
from clew.volumes import open_volume

DATA = np.random.default_rng(13).integers(0, 256, (6, 24, 32), np.uint8)
IDS = [f"urn:uuid:{uuid.UUID(int=number + 1)}" for number in range(6)]
COMPANION = f"urn:uuid:{uuid.UUID(int=99)}"
OME = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{own}">{body}</OME>'
SIZES = 'PhysicalSizeX="0.004" PhysicalSizeY="0.004" PhysicalSizeZ="0.04"'


def image(planes, sizes="SizeZ='6' SizeC='1'", order="XYZCT", names="s{}.ome.tif"):
    blocks = "".join(
        f'<TiffData FirstZ="{z}" FirstC="{c}" FirstT="0" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{names.format(number)}">{IDS[number]}</UUID></TiffData>'
        for number, (z, c) in enumerate(planes)
    )
    return (
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="{order}" Type="uint8" SizeX="32" SizeY="24" {sizes} '
        f'SizeT="1" {SIZES}>{blocks}</Pixels></Image>'
    )


WHOLE = image([(z, 0) for z in range(6)])


def write_set(folder, text_of):
    folder.mkdir(parents=True)
    for number, section in enumerate(DATA):
        tifffile.imwrite(folder / f"s{number}.ome.tif", section, description=text_of(number), metadata=None)


def full(number):
    return OME.format(own=IDS[number], body=WHOLE)


def only(name):
    return lambda number: OME.format(own=IDS[number], body=f'<BinaryOnly MetadataFile="{name}" UUID="{COMPANION}"/>')


def check(path, data=DATA):
    volume = open_volume(path)
    assert volume.voxel_size == pytest.approx((40, 4, 4))
    np.testing.assert_array_equal(volume.read(), data)
    np.testing.assert_array_equal(volume[..., 2:5, 3:7, ::2], data[..., 2:5, 3:7, ::2])
    volume.probe()


def test_each_file_describes_the_set(tmp_path):
    write_set(tmp_path / "set", full)
    for path in ("set", "set/s0.ome.tif", "set/s3.ome.tif"):
        check(tmp_path / path)


def test_a_companion_describes_the_set(tmp_path):
    write_set(tmp_path / "set", only("s.companion.ome"))
    with pytest.raises(InputError, match=r"s\.companion\.ome describes, which is missing: bring it back"):
        open_volume(tmp_path / "set/s2.ome.tif")
    (tmp_path / "set/s.companion.ome").write_text(OME.format(own=COMPANION, body=WHOLE), encoding="utf-8")
    for path in ("set", "set/s0.ome.tif", "set/s3.ome.tif"):
        check(tmp_path / path)


def test_one_of_the_files_describes_the_set(tmp_path):
    write_set(tmp_path / "set", lambda number: full(0) if number == 0 else only("s0.ome.tif")(number))
    for path in ("set", "set/s0.ome.tif", "set/s3.ome.tif"):
        check(tmp_path / path)


def test_a_file_for_each_channel(tmp_path):
    body = image([(z, c) for c in range(2) for z in range(3)], "SizeZ='3' SizeC='2'")
    write_set(tmp_path / "set", lambda number: OME.format(own=IDS[number], body=body))
    check(tmp_path / "set", DATA.reshape(2, 3, 24, 32))
    check(tmp_path / "set/s4.ome.tif", DATA.reshape(2, 3, 24, 32))


def test_missing_members_are_named(tmp_path):
    write_set(tmp_path / "set", full)
    (tmp_path / "set/s2.ome.tif").unlink()
    for path in ("set", "set/s0.ome.tif", "set/s3.ome.tif"):
        with pytest.raises(
            InputError, match=r"a set of 6 OME-TIFF files, of which 1 are missing in .*set: s2\.ome\.tif"
        ):
            open_volume(tmp_path / path)


def test_cut_members_are_named(tmp_path):
    write_set(tmp_path / "set", full)
    cut = tmp_path / "set/s4.ome.tif"
    cut.write_bytes(cut.read_bytes()[:-300])
    with pytest.raises(InputError, match=r"s4\.ome\.tif"):
        open_volume(tmp_path / "set").read()


def test_files_beside_the_set(tmp_path):
    write_set(tmp_path / "set", full)
    (tmp_path / "set/s0 copy.ome.tif").write_bytes((tmp_path / "set/s0.ome.tif").read_bytes())
    tifffile.imwrite(tmp_path / "set/z.tif", DATA[0])
    with pytest.raises(
        InputError, match=r"names the files of its OME-TIFF set, .* not among them: name .* instead of the folder"
    ):
        open_volume(tmp_path / "set")
    check(tmp_path / "set/s3.ome.tif")


def test_a_set_that_was_renamed(tmp_path):
    body = image([(0, 0)], "SizeZ='1' SizeC='1'")
    tifffile.imwrite(tmp_path / "other.tif", DATA[0], description=OME.format(own=IDS[0], body=body), metadata=None)
    check(tmp_path / "other.tif", DATA[:1])


@pytest.mark.parametrize(
    ("was", "becomes"), [("SizeZ='6'", "SizeZ='8'"), ("SizeZ='6'", "SizeZ='4'"), ('SizeX="32"', 'SizeX="24"')]
)
def test_metadata_that_do_not_fit(tmp_path, was, becomes):
    write_set(tmp_path / "set", lambda number: full(number).replace(was, becomes))
    with pytest.raises(InputError, match=r"its metadata do not describe its images"):
        open_volume(tmp_path / "set")


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ('PhysicalSizeX="4" PhysicalSizeXUnit="nm"', "no PhysicalSizeZ"),
        (SIZES.replace("Z=", 'ZUnit="pixel" PhysicalSizeZ='), "PhysicalSizeZ '0.04' pixel"),
        (SIZES.replace("Y=", 'YUnit="reference frame" PhysicalSizeY='), "PhysicalSizeY '0.004' reference frame"),
        (SIZES.replace('"0.04"', '"abc"'), "PhysicalSizeZ 'abc'"),
        (SIZES.replace('"0.04"', '"-1"'), "PhysicalSizeZ '-1'"),
    ],
)
def test_sizes_that_say_nothing(tmp_path, sizes, reason):
    write_set(tmp_path / "set", lambda number: full(number).replace(SIZES, sizes))
    with pytest.raises(InputError, match=rf"does not say its voxel size: OME metadata have {reason}.*--voxel-size"):
        open_volume(tmp_path / "set")
    np.testing.assert_array_equal(open_volume(tmp_path / "set", voxel_size=(40, 4, 4)).read(), DATA)
