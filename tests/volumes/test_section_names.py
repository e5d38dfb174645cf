"""Which files of a folder are sections, in what order, and where."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clew.errors import InputError
from clew.volumes import open_volume
from clew.volumes.formats.section_names import number_sections, unplaced
from clew.volumes.location import natural_key
from clew.volumes.warnings import volume_warnings

SIZE = (40.0, 4.0, 4.0)
FOLDER = Path("folder")


def numbered(*names):
    return number_sections([Path(name) for name in sorted(names, key=natural_key)], FOLDER)


def in_order(*names):
    return [file.name for file in numbered(*names).files]


@given(
    st.integers(0, 3000),
    st.integers(1, 12),
    st.sampled_from(["slice_{}", "{}", "w01_s{:05}", "a2b_{}_v3", "z={}.00um"]),
)
def test_one_number_that_counts(first, count, name):
    names = [f"{name.format(number)}.tif" for number in range(first, first + count)]
    found = numbered(*reversed(names))
    assert ([file.name for file in found.files], found.warnings) == (names, ())
    assert count == 1 or found.numbers == list(range(first, first + count))


def test_the_number_that_counts_all_orders_them():
    letters = [f"{'ab'[z % 2]}_w01_z{z}.png" for z in range(12)]
    assert in_order(*letters) == letters
    dates = [f"{z:03}_2019-05-{28 - z}.png" for z in range(12)]
    assert in_order(*dates) == dates
    assert "other numbers in the names go another way" in numbered(*dates).warnings[0]


def test_time_that_wraps_at_midnight_keeps_the_natural_order():
    names = ["m_21-05-20_125416.tif", "m_21-05-20_235900.tif", "m_21-05-21_000312.tif", "m_21-05-21_030000.tif"]
    found = numbered(*names)
    assert [file.name for file in found.files] == names
    assert found.numbers is None
    assert "several numbers change in the names" in found.warnings[0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([f"r{z % 2}c{z // 2}.png" for z in range(12)], "looks like tiles or channels: 2 numbers change"),
        ([f"z{z:03}_ch{c:02}.tif" for z in range(5) for c in range(2)], "looks like tiles or channels"),
        ([f"z{z}_r{r}_c{c}.tif" for z in range(3) for r in range(2) for c in range(2)][:-1], "looks like tiles"),
        (
            ["overview.png", *(f"slice_{z}.png" for z in range(5))],
            "holds overview.png without a number among numbered sections",
        ),
        (
            ["overview_2.png", *(f"slice_{z}.png" for z in range(5))],
            r"several kinds, by their names slice_# \(5\), overview_# \(1\)",
        ),
        (["mask_5.png", *(f"slice_{z}.png" for z in range(5))], r"several kinds"),
        ([f"{kind}_{z}.png" for z in range(5) for kind in ("raw", "labels")], r"several kinds"),
        (["a_1.png", "a_01.png", "a_2.png"], r"holds a section twice, a_0?1\.png and a_0?1\.png"),
    ],
)
def test_what_does_not_belong_is_refused(names, message):
    with pytest.raises(InputError, match=message):
        numbered(*names)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([0, 1, 2], None), ([1, 2, 3], None), ([20260101000000, 20260102000000], None), ([20260101, 20260102], None),
        ([10, 11, 12], "the first section has the number 10 and lies at offset 0"),
        ([0, 1, 3, 4], r"1 are left out (2): the sections around are read as neighbours"),
        ([5, 15, 25, 35], "the sections 5, 15, 25, 35 are read as neighbours"),
        ([3, 400, 500], "the sections 3, 400, 500 are read as neighbours"),
        ([0, 2, 4, 6, 8], "the sections 0, 2, 4, 6, … are read as neighbours"),
    ],
)  # fmt: skip
def test_numbers_that_are_no_places(numbers, said):
    found = unplaced(numbered(*(f"anno_{number:04}.png" for number in numbers)))
    assert (said in found[0] and "FOLDER:by-number" in found[0]) if said else found == ()


def test_names_without_numbers():
    found = numbered("b.png", "a.png")
    assert [file.name for file in found.files] == ["a.png", "b.png"]
    assert (found.numbers, "alphabetical" in found.warnings[0]) == (None, True)
    assert numbered("a.png").warnings == ()


def write(folder, sections, name="anno_{:04}.png"):
    folder.mkdir()
    for number, section in sections.items():
        Image.fromarray(section).save(folder / name.format(number))


def test_copies(tmp_path):
    data = np.random.default_rng(0).integers(0, 256, (3, 5, 6), np.uint8)
    write(tmp_path / "a", dict(enumerate(data)))
    for copy in (
        "anno_0001 (1).png",
        "anno_0001 copy.png",
        "anno_0002_copy2.png",
        "anno_0000 - Copy (2).png",
        "anno_0000 - Kopie.png",
    ):
        (tmp_path / "a" / copy).write_bytes((tmp_path / "a" / f"{copy[:9]}.png").read_bytes())
    volume = open_volume(tmp_path / "a", voxel_size=SIZE)
    np.testing.assert_array_equal(volume.read(), data)
    assert "copies of sections are left out" in volume.noticed[0]
    Image.fromarray(data[0]).save(tmp_path / "a/anno_0001 (1).png")
    with pytest.raises(
        InputError, match=r"holds anno_0001 \(1\)\.png beside anno_0001\.png, and they differ; which is the section"
    ):
        open_volume(tmp_path / "a", voxel_size=SIZE)
    write(tmp_path / "b", dict(enumerate(data)), "section ({}).png")
    np.testing.assert_array_equal(open_volume(tmp_path / "b", voxel_size=SIZE).read(), data)


def test_sections_placed_by_number(tmp_path):
    data = np.random.default_rng(0).integers(1, 256, (4, 5, 6), np.uint8)
    write(tmp_path / "a", dict(zip((5, 15, 25, 35), data, strict=True)))
    whole = np.zeros((31, 5, 6), np.uint8)
    whole[::10] = data
    volume = open_volume(f"{tmp_path}/a:by-number", voxel_size=SIZE)
    np.testing.assert_array_equal(volume.read(), whole)
    np.testing.assert_array_equal(volume[3:22, 1:3, ::2], whole[3:22, 1:3, ::2])
    assert volume.offset == (200, 0, 0)
    assert "anno_0005.png is section 5" in volume_warnings(volume)[0]
    assert "27 of 31 sections are not there and read as 0" in volume_warnings(volume)[0]
    assert open_volume(f"{tmp_path}/a:by-number", voxel_size=SIZE, offset=(1, 2, 3)).offset == (1, 2, 3)
    with pytest.raises(InputError, match="holds no other; wanted"):
        open_volume(f"{tmp_path}/a:other", voxel_size=SIZE)
    write(tmp_path / "b", dict(enumerate(data[:2])), "{:05b}_x.png")
    for number, name in enumerate(("a.png", "b.png")):
        (tmp_path / "b" / f"{number:05b}_x.png").rename(tmp_path / "b" / name)
    with pytest.raises(InputError, match=r"no number in the names \(a\.png\) tells the sections apart"):
        open_volume(f"{tmp_path}/b:by-number", voxel_size=SIZE)


def test_sections_in_the_order_of_their_names(tmp_path):
    """Numbers that begin anew on each wafer look like tiles."""
    data = np.random.default_rng(0).integers(0, 256, (6, 5, 6), np.uint8)
    write(
        tmp_path / "a", {(1 + z // 3, 9 + z % 3): section for z, section in enumerate(data)}, "W0{0[0]}_Sec{0[1]}.png"
    )
    with pytest.raises(InputError, match=r"looks like tiles or channels: 2 numbers .*FOLDER:by-name"):
        open_volume(tmp_path / "a", voxel_size=SIZE)
    np.testing.assert_array_equal(open_volume(f"{tmp_path}/a:by-name", voxel_size=SIZE).read(), data)


def test_folders_of_images_are_named(tmp_path):
    for name in ("z10", "z9"):
        (tmp_path / "a" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a" / name / "0.png")
    with pytest.raises(InputError, match=r"a holds 2 folders of images \(z9, …\): name one of them, as .*/a/z9"):
        open_volume(tmp_path / "a", voxel_size=SIZE)


def test_upper_case_bmp_and_what_systems_leave(tmp_path):
    data = np.random.default_rng(0).integers(0, 256, (12, 5, 6), np.uint8)
    for name in ("s_{}.PNG", "s_{}.bmp", "s_{}.TIFF"):
        folder = tmp_path / name[-3:]
        write(folder, dict(enumerate(data)), name)
        for left in ("Thumbs.db", ".DS_Store", "._s_3.png", "._s_3.tiff", "desktop.ini"):
            (folder / left).write_bytes(b"x")
        np.testing.assert_array_equal(open_volume(folder, voxel_size=SIZE).read(), data)
