"""Paths and URLs of volumes."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from clew.errors import InputError
from clew.volumes import open_volume, output_target, save_volume
from clew.volumes.formats.precomputed import precomputed_spec
from clew.volumes.location import Location, find_location, join, kvstore_spec, natural_key, normal_path, parent
from clew.volumes.shared import SharedVolume
from volumes.foreign import write_cubes, write_precomputed, write_tensorstore


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("s3://janelia/a.zarr", Location("s3://janelia/a.zarr")),
        ("s3://janelia/a.zarr/", Location("s3://janelia/a.zarr")),
        ("s3://janelia/a.zarr:volumes/raw", Location("s3://janelia/a.zarr", "volumes/raw")),
        ("s3://janelia/a.n5:2", Location("s3://janelia/a.n5", "2")),
        ("precomputed://gs://bucket/em/raw", Location("gs://bucket/em/raw", "", "precomputed")),
        ("precomputed://gs://bucket/em/raw:1", Location("gs://bucket/em/raw", "1", "precomputed")),
        ("n5://s3://bucket/a", Location("s3://bucket/a", "", "n5")),
        ("http://localhost:8080/a", Location("http://localhost:8080/a")),
    ],
)
def test_remote_locations(url, location):
    assert find_location(url) == location
    assert location.remote


def test_remote_specifications():
    assert kvstore_spec("s3://bucket/a.zarr") == {"driver": "s3", "bucket": "bucket", "path": "a.zarr/"}
    assert kvstore_spec("gs://bucket/em/a") == {"driver": "gcs", "bucket": "bucket", "path": "em/a/"}
    spec = precomputed_spec("gs://bucket/em", 2)
    assert spec == {"driver": "neuroglancer_precomputed", "kvstore": kvstore_spec("gs://bucket/em"), "scale_index": 2}
    with pytest.raises(InputError, match="is not a URL that can be read"):
        kvstore_spec("ftp://server/a.zarr")


def test_local_specification(tmp_path):
    assert kvstore_spec(str(tmp_path)) == {"driver": "file", "path": f"{tmp_path}/"}


def test_local_locations(tmp_path):
    (tmp_path / "a.zarr/s1").mkdir(parents=True)
    (tmp_path / "b.h5").touch()
    zarr, hdf5 = str(tmp_path / "a.zarr"), str(tmp_path / "b.h5")
    assert find_location(f"{zarr}/s1") == Location(f"{zarr}/s1")
    assert find_location(f"{zarr}:1") == Location(zarr, "1")
    assert find_location(f"{zarr}/s2/x") == Location(zarr, "s2/x")
    assert find_location(f"{hdf5}:volumes/raw") == Location(hdf5, "volumes/raw")
    assert find_location(f"{hdf5}/volumes/raw") == Location(hdf5, "volumes/raw")
    assert find_location(hdf5, "volumes/raw") == Location(hdf5, "volumes/raw")
    assert find_location(f"{hdf5}:volumes", "raw") == Location(hdf5, "volumes/raw")


def test_what_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"there is no file or folder .*none\.zarr$"):
        open_volume(tmp_path / "none.zarr")
    for nothing in ("", "zarr://"):
        with pytest.raises(InputError, match="a path is empty"):
            open_volume(nothing)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match=r"a\.txt is of no known format"):
        open_volume(tmp_path / "a.txt")
    (tmp_path / "empty").mkdir()
    (tmp_path / "above/mag1").mkdir(parents=True)
    with pytest.raises(InputError, match=r"holds no array .*; if one of its folders does, name it: \S+above/mag1$"):
        open_volume(tmp_path / "above")
    with pytest.raises(InputError, match="holds no array .*it is an empty folder"):
        open_volume(tmp_path / "empty")
    (tmp_path / "empty/a.ser").write_text("x")
    with pytest.raises(InputError, match=r"holds no array .*a\.ser, which is a series of FEI: write it as TIFF"):
        open_volume(tmp_path / "empty")


def test_parents_stop_at_the_bucket():
    assert parent("s3://bucket/a/b") == ("s3://bucket/a", "b")
    assert parent("s3://bucket/a") == ("s3://bucket", "a")
    assert parent("s3://bucket") is None
    assert parent("/") is None
    assert join("s3://bucket/", "/a/b/") == "s3://bucket/a/b"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("out/a.zarr", ("out/a.zarr", "")),
        ("out/a.zarr/raw", ("out/a.zarr/raw", "")),
        ("out/a.zarr:raw", ("out/a.zarr/raw", "")),
        ("a.h5", ("a.h5", "")),
        ("a.h5:volumes/raw", ("a.h5", "volumes/raw")),
        ("a.h5/volumes/raw", ("a.h5", "volumes/raw")),
    ],
)
def test_output_targets(path, target):
    assert (str(output_target(path)[0]), output_target(path)[1]) == target


def test_sections_sort_by_number():
    assert sorted(["s10.png", "s9.png", "a.png", "s9b.png"], key=natural_key) == [
        "a.png",
        "s9.png",
        "s9b.png",
        "s10.png",
    ]


DATA = (np.arange(5 * 7 * 11) % 251 + 1).reshape(5, 7, 11).astype(np.uint8)
PLACE = {"voxel_size": (40.0, 4.0, 4.0)}


def write_sections(folder: Path) -> None:
    folder.mkdir()
    for number, section in enumerate(DATA):
        tifffile.imwrite(folder / f"{number}.tif", section)


VOLUMES = {
    "a.zarr": lambda path: save_volume(path, DATA, **PLACE),
    "a.h5": lambda path: save_volume(path, DATA, **PLACE),
    "zarr2": lambda path: zarr.create_array(path, data=DATA, zarr_format=2),
    "a.n5": lambda path: write_tensorstore("n5", path, DATA.T),
    "precomputed": lambda path: write_precomputed(path, DATA),
    "knossos": lambda path: write_cubes(path, DATA),
    "sections": write_sections,
}
FORMS = (
    "../there/{}",
    "../there/{}/",
    "../there/./{}//",
    "{home}/link/../{}",
    "~/there/{}",
    "~/here/../there/{}",
    "../with space %20#?é/{}",
    "file://{home}/here/../there/{}",
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The home folder, with the working folder `here`, and `link` to a folder in `there`."""
    for name in ("here", "there/deep", "with space %20#?é"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "there/deep")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", VOLUMES)
def test_paths_through_links_parents_home_and_odd_names(home, name, form):
    VOLUMES[name](home / ("with space %20#?é" if "space" in form else "there") / name)
    volume = open_volume(form.format(name, home=home), **PLACE)
    np.testing.assert_array_equal(volume.read(), DATA)
    assert ".." not in volume.source


@pytest.mark.parametrize("form", [form for form in FORMS if "://" not in form])
@pytest.mark.parametrize("name", ["a.zarr", "a.h5:x"])
def test_outputs_through_links_parents_home_and_odd_names(home, name, form):
    path = form.format(name, home=home)
    save_volume(path, DATA, **PLACE)
    place = home / ("with space %20#?é" if "space" in form else "there")
    np.testing.assert_array_equal(open_volume(place / name).read(), DATA)
    assert sorted(entry.name for entry in home.iterdir()) == ["here", "link", "there", "with space %20#?é"]
    assert list((home / "here").iterdir()) == []


def test_shared_outputs_through_parents(home):
    volume = SharedVolume("../link/../a.zarr", DATA.shape, DATA.dtype, offset=(0, 0, 0), block_shape=(8, 8, 8), **PLACE)
    volume.create()
    assert (home / "there/a.zarr/s0/zarr.json").exists()


def test_normal_paths(home):
    assert normal_path("a/./b//") == "a/b"
    assert normal_path(home / "link/a") == f"{home}/link/a"
    assert normal_path("../link/../link2/a") == f"{home}/there/link2/a"
    assert normal_path("~/a") == f"{home}/a"
    assert normal_path("..") == str(home)
