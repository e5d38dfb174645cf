"""HDF5 datasets whose voxels lie in other files, behind links, in filters: the values, or what is missing by name.

HDF5 itself reads zeros where a source of a virtual dataset, or the end of an external file, is gone.
"""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from clew.errors import InputError
from clew.pipeline import info
from clew.volumes import list_datasets, open_volume
from clew.volumes.warnings import volume_warnings

DATA = np.random.default_rng(0).integers(1, 255, (4, 6, 8), np.uint8)
SIZE = (8.0, 8.0, 8.0)
ENDLESS = h5py.h5s.UNLIMITED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Source files, whole and short ones."""
    (tmp_path / "inner").mkdir()
    for name in ("a", "b", "inner/a", "c%d", "p0", "p1", "q0", "q1", "q3", "short"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            part = DATA[:3] if name == "short" else DATA
            file["raw"] = part
            file["longer"] = np.repeat(part, 2, axis=0)
            file["flat"] = part[0]
            file.create_dataset("endless", data=part, maxshape=(None, 6, 8))
    DATA.tofile(tmp_path / "raw.bin")
    DATA[:2].tofile(tmp_path / "half.bin")
    return tmp_path


def virtual(path: Path, shape, parts, **options) -> str:
    """A virtual dataset of parts (selection, source)."""
    layout = h5py.VirtualLayout(shape, np.uint8, **options)
    for selection, source in parts:
        layout[selection] = source
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset("v", layout, fillvalue=7)
    return f"{path}:v"


def source(name: str, dataset: str = "raw", **options) -> h5py.VirtualSource:
    return h5py.VirtualSource(f"{name}.h5", dataset, DATA.shape, **options)


def endless(name: str) -> h5py.VirtualSource:
    return source(name, "endless", maxshape=(None, 6, 8))[0:ENDLESS]


def numbered(path: Path, name: bytes, dataset: bytes = b"raw") -> str:
    """A virtual dataset whose sources are numbered from 0, as many as there are."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    space = h5py.h5s.create_simple(DATA.shape, (ENDLESS, 6, 8))
    space.select_hyperslab((0, 0, 0), (ENDLESS, 1, 1), (4, 1, 1), DATA.shape)
    layout.set_virtual(space, name, dataset, h5py.h5s.create_simple(DATA.shape))
    with h5py.File(path, "w", libver="latest") as file:
        h5py.h5d.create(file.id, b"v", h5py.h5t.NATIVE_UINT8, space, layout)
    return f"{path}:v"


def external(path: Path, *parts) -> str:
    with h5py.File(path, "w") as file:
        file.create_dataset("v", DATA.shape, DATA.dtype, external=list(parts))
    return f"{path}:v"


TWICE = np.concatenate([DATA, DATA])
WHOLE = {
    "two files": (
        lambda f: virtual(f / "v.h5", (8, 6, 8), [(np.s_[:4], source("a")), (np.s_[4:], source("b"))]),
        TWICE,
    ),
    "inner folder": (lambda f: virtual(f / "v.h5", (4, 6, 8), [(np.s_[:], source("inner/a"))]), DATA),
    "part": (lambda f: virtual(f / "v.h5", (2, 3, 8), [(np.s_[:], source("a")[1:3, ::2])]), DATA[1:3, ::2]),
    "list": (lambda f: virtual(f / "v.h5", (3, 6, 8), [(np.s_[:], source("a")[[0, 1, 3]])]), DATA[[0, 1, 3]]),
    "percent": (lambda f: virtual(f / "v.h5", (4, 6, 8), [(np.s_[:], source("c%%d"))]), DATA),
    "endless": (
        lambda f: virtual(f / "v.h5", (4, 6, 8), [(np.s_[0:ENDLESS], endless("a"))], maxshape=(None, 6, 8)),
        DATA,
    ),
    "numbered": (lambda f: numbered(f / "v.h5", b"p%b.h5"), TWICE),
    "external": (lambda f: external(f / "v.h5", ("half.bin", 0, 96), ("raw.bin", 96, h5py.h5f.UNLIMITED)), DATA),
}


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("form", WHOLE)
def test_what_lies_in_other_files_is_read(folder, monkeypatch, form, elsewhere):
    monkeypatch.chdir(folder)
    write, expected = WHOLE[form]
    path = write(folder)
    monkeypatch.chdir(folder.parent if elsewhere else folder)
    with open_volume(path, voxel_size=SIZE) as volume:
        np.testing.assert_array_equal(volume.read(), expected)


GONE = {
    "file": (
        lambda f: virtual(f / "v.h5", (4, 6, 8), [(np.s_[:], source("lost"))]),
        "takes data from lost.h5, which is not",
    ),
    "dataset": (
        lambda f: virtual(f / "v.h5", (4, 6, 8), [(np.s_[:], source("a", "lost"))]),
        r"takes data from lost in .*a\.h5, which is not there",
    ),
    "short": (
        lambda f: virtual(f / "v.h5", (4, 6, 8), [(np.s_[:], source("short"))]),
        r"takes 192 voxels from /raw in .*short\.h5, whose shape is \(3, 6, 8\)",
    ),
    "short part": (
        lambda f: virtual(f / "v.h5", (2, 6, 8), [(np.s_[:], source("short")[2:4])]),
        r"short\.h5, whose shape",
    ),
    "short list": (
        lambda f: virtual(f / "v.h5", (3, 6, 8), [(np.s_[:], source("short")[[0, 1, 3]])]),
        r"short\.h5, whose shape",
    ),
    "longer": (lambda f: virtual(f / "v.h5", (4, 6, 8), [(np.s_[:], source("a", "longer"))]), r"a\.h5, whose shape"),
    "flat": (lambda f: virtual(f / "v.h5", (4, 6, 8), [(np.s_[:], source("a", "flat"))]), r"a\.h5, whose shape"),
    "endless": (
        lambda f: virtual(
            f / "v.h5",
            (4, 12, 8),
            [(np.s_[0:ENDLESS, :6], endless("a")), (np.s_[0:ENDLESS, 6:], endless("short"))],
            maxshape=(None, 12, 8),
        ),
        r"short\.h5, whose shape",
    ),
    "nested": (
        lambda f: (
            virtual(f / "w.h5", (4, 6, 8), [(np.s_[:], source("lost"))]),
            virtual(f / "v.h5", (4, 6, 8), [(np.s_[:], source("w", "v"))]),
        )[1],
        r"w\.h5:v takes data from lost\.h5",
    ),
    "numbered, a gap": (lambda f: numbered(f / "v.h5", b"q%b.h5"), r"q2\.h5, which is not there, though q3\.h5 is"),
    "numbered, none": (lambda f: numbered(f / "v.h5", b"r%b.h5"), r"r0\.h5, which is not there"),
    "external file": (lambda f: external(f / "v.h5", ("lost.bin", 0, 192)), r"lost\.bin, which is not there"),
    "external end": (
        lambda f: external(f / "v.h5", (str(f / "half.bin"), 0, h5py.h5f.UNLIMITED)),
        r"half\.bin, which has 96 bytes, not 192",
    ),
}


@pytest.mark.parametrize("form", GONE)
def test_what_is_gone_is_named(folder, monkeypatch, form):
    write, message = GONE[form]
    path = write(folder)
    for follow in ("0", "1"):
        monkeypatch.setenv("CLEW_FOLLOW_LINKS", follow)
        with pytest.raises(InputError, match=message):
            open_volume(path, voxel_size=SIZE).read()
    assert "takes" in list_datasets(folder / "v.h5")[0].problem


def test_a_prefix_of_hdf5_is_followed(folder, monkeypatch):
    path = virtual(folder / "v.h5", (4, 6, 8), [(np.s_[:], source("moved"))])
    (folder / "a.h5").rename(folder / "inner" / "moved.h5")
    script = f"import clew; print(clew.open_volume({path!r}, voxel_size=(8, 8, 8)).read().sum())"
    for prefix in (folder / "inner", "${ORIGIN}/inner"):
        environment = os.environ | {"HDF5_VDS_PREFIX": str(prefix)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert int(done.stdout) == DATA.sum()


def test_a_list_says_what_cannot_be_read(folder, capsys):
    with h5py.File(folder / "v.h5", "w") as file:
        file["whole"] = DATA
        file.create_dataset("unwritten", DATA.shape, DATA.dtype, chunks=DATA.shape)
        chunk = file.create_dataset("damaged", data=DATA, chunks=DATA.shape, compression="gzip").id.get_chunk_info(0)
    with (folder / "v.h5").open("r+b") as stored:
        stored.seek(chunk.byte_offset)
        stored.write(bytes(chunk.size))
    info(str(folder / "v.h5"))
    damaged, unwritten, said, whole = capsys.readouterr().out.splitlines()
    assert "damaged cannot be read" in damaged
    assert unwritten.endswith(str(DATA.dtype))
    assert said.startswith("warning")
    assert "never written" in said
    assert whole.endswith(str(DATA.dtype))


def test_links_are_listed_and_read_and_dead_ones_named(folder, capsys):
    with h5py.File(folder / "v.h5", "w") as file:
        file["stored/a"] = DATA
        file["volumes/soft"] = h5py.SoftLink("/stored/a")
        file["volumes/far"] = h5py.ExternalLink("a.h5", "/raw")
        file["volumes/lost"] = h5py.ExternalLink("lost.h5", "/raw")
        file["volumes/dead"] = h5py.SoftLink("/nothing")
        file["circle"] = h5py.SoftLink("/circle")
        file["again"] = h5py.SoftLink("/")
    info(str(folder / "v.h5"))
    rows = capsys.readouterr().out.splitlines()
    found = {row.split()[0].partition(":")[2]: row.split(maxsplit=1)[1] for row in rows}
    assert [name for name, text in found.items() if "(4, 6, 8)" in text] == ["stored/a", "volumes/far", "volumes/soft"]
    assert "lost.h5, which is not there" in found["volumes/lost"]
    assert "nothing in" in found["volumes/dead"]
    assert "more than 16 links" in found["circle"]
    for name in ("volumes/soft", "volumes/far"):
        np.testing.assert_array_equal(open_volume(f"{folder}/v.h5:{name}", voxel_size=SIZE).read(), DATA)
    with pytest.raises(InputError, match=r"v\.h5:volumes/dead takes data from /nothing in"):
        open_volume(f"{folder}/v.h5:volumes/dead", voxel_size=SIZE)


def test_two_names_of_one_dataset_are_no_choice(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["stored/a"] = DATA
        file["volumes/raw"] = h5py.SoftLink("/stored/a")
        file["hard"] = file["stored/a"]
    np.testing.assert_array_equal(open_volume(tmp_path / "v.h5", voxel_size=SIZE).read(), DATA)


def test_filters_that_are_not_installed_are_named(tmp_path, monkeypatch):
    import hdf5plugin

    with h5py.File(tmp_path / "v.h5", "w") as file:
        for name, packing in (("blosc", hdf5plugin.Blosc()), ("zstd", hdf5plugin.Zstd()), ("lz4", hdf5plugin.LZ4())):
            file.create_dataset(name, data=DATA, chunks=(2, 3, 4), **packing)
        file.create_dataset("bitshuffle", data=DATA, chunks=(2, 3, 4), **hdf5plugin.Bitshuffle())
        file.create_dataset("lzf", data=DATA, chunks=(2, 3, 4), compression="lzf")
        file.create_dataset("szip", data=DATA, chunks=(2, 3, 4), compression="szip")
    script = "import clew, sys; print(clew.open_volume(sys.argv[1], voxel_size=(8, 8, 8)).read().sum())"
    for name in ("blosc", "zstd", "lz4", "bitshuffle", "lzf", "szip"):
        done = subprocess.run([sys.executable, "-c", script, f"{tmp_path}/v.h5:{name}"], capture_output=True, text=True)
        assert int(done.stdout) == DATA.sum(), done.stderr
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code < 100)
    with pytest.raises(InputError, match=r"v\.h5:zstd is compressed with zstd .* pip install 'clew\[hdf5-filters\]'"):
        open_volume(f"{tmp_path}/v.h5:zstd", voxel_size=SIZE)
    assert {row.name: "compressed with blosc" in row.problem for row in list_datasets(tmp_path / "v.h5")}["blosc"]


def test_what_was_never_written_is_said(folder):
    with h5py.File(folder / "v.h5", "w") as file:
        file.create_dataset("chunks", DATA.shape, "u1", chunks=(2, 6, 8), fillvalue=9)[:2] = DATA[:2]
        file.create_dataset("nothing", DATA.shape, "u1")
        file.create_dataset("all", data=DATA, chunks=(3, 6, 8))
    said = {}
    for name in ("chunks", "nothing", "all"):
        volume = open_volume(f"{folder}/v.h5:{name}", voxel_size=SIZE)
        said[name] = volume_warnings(volume)
    assert said["all"] == []
    assert "1 of 2 chunks" in said["chunks"][0]
    assert said["chunks"][0].endswith("never written and are read as 9")
    assert said["nothing"][0].endswith("nothing was never written and is read as 0")
    path = virtual(folder / "w.h5", (8, 6, 8), [(np.s_[:4], source("a"))])
    assert volume_warnings(open_volume(path, voxel_size=SIZE)) == [
        f"50 % of {path} is in none of its sources and read as 7"
    ]


def test_a_source_that_goes_while_the_volume_is_open_is_named(folder):
    path = virtual(folder / "v.h5", (8, 6, 8), [(np.s_[:4], source("a")), (np.s_[4:], source("b"))])
    volume = open_volume(path, voxel_size=SIZE)
    np.testing.assert_array_equal(volume[1:3], DATA[1:3])
    (folder / "b.h5").rename(folder / "moved.h5")
    with pytest.raises(InputError, match=r"v\.h5:v takes data from b\.h5, which is not there"):
        volume.read()
