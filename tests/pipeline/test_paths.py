"""Every way to name a file or folder, for all commands: it works, or the output is refused before the work."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

import clew
from clew import pipeline
from clew.errors import InputError
from clew.replace import refuse_unwritable
from volumes.foreign import write_cubes, write_precomputed, write_tensorstore

SIZE = (8.0, 8.0, 8.0)
OFFSETS = [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]
AS_WRITTEN = [
    "plain",
    "with space",
    "ünï ☃",
    "per%20cent",
    "100%",
    "ha#sh",
    "co:lon",
    "a?b",
    "a[1]*",
    "x.zarr.d",
    "my.h5",
    "it's",
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A volume in every format that is a file or folder, and affinities."""
    folder = tmp_path_factory.mktemp("source")
    volume = clew.synthesize((16, 24, 24), seed=1)
    targets, _ = clew.affinity_targets(clew.grow_boundaries(volume.labels, 1), OFFSETS)
    affinities = np.where(targets, 230, 40).astype(np.uint8)
    for name, data in (("raw.zarr", volume.raw), ("truth.zarr", volume.labels), ("affinities.zarr", affinities)):
        clew.save_volume(folder / name, data, voxel_size=SIZE)
    clew.save_volume(folder / "a.h5:volumes/raw", volume.raw, voxel_size=SIZE)
    zarr.create_array(folder / "two.zarr", data=volume.raw, zarr_format=2).attrs["resolution"] = SIZE
    write_tensorstore("n5", folder / "a.n5", volume.raw.T.copy())
    attributes = json.loads((folder / "a.n5/attributes.json").read_text()) | {"resolution": SIZE}
    (folder / "a.n5/attributes.json").write_text(json.dumps(attributes))
    write_precomputed(folder / "precomputed", volume.raw, resolution=SIZE)
    write_cubes(folder / "cubes", volume.raw)
    (folder / "sections").mkdir()
    for number, section in enumerate(volume.raw):
        tifffile.imwrite(folder / f"sections/{number:03d}.tif", section)
    tifffile.imwrite(folder / "a.tif", volume.raw)
    return folder


def by_dots(folder: Path, name: str) -> str:
    return f"../{Path.cwd().name}/../{folder.name}/./{name}"


def by_link(folder: Path, name: str) -> str:
    link = folder.parent / "link"
    if not link.is_symlink():
        link.symlink_to(folder)
    return f"../link/{name}"


def by_link_of_its_own(folder: Path, name: str) -> str:
    head, colon, dataset = name.partition(":")
    link = folder.parent / head.replace("/", "-")
    if (folder / head).exists() and not link.exists():
        link.symlink_to(folder / head)
    return f"{link if (folder / head).exists() else folder / head}{colon}{dataset}"


WAYS: dict[str, Callable[[Path, str], str]] = {
    "relative": lambda folder, name: os.path.relpath(folder / name),
    "dots": by_dots,
    "link": by_link,
    "own link": by_link_of_its_own,
    "slashes": lambda folder, name: f"{folder}//{name}" + ("/" if Path(name).suffix in ("", ".zarr", ".n5") else ""),
    "home": lambda folder, name: f"~/{folder.name}/{name}",
    "URL": lambda folder, name: (folder / name).as_uri(),
    "URL with localhost": lambda folder, name: (folder / name).as_uri().replace("file://", "file://localhost"),
} | {f"in {name}": lambda folder, name: str(folder / name) for name in AS_WRITTEN}
READ = ["raw.zarr", "raw.zarr/s0", "a.h5:volumes/raw", "two.zarr", "a.n5", "precomputed", "cubes", "sections", "a.tif"]


WRITE = ["dots", "own link", "home", "URL", "in per%20cent", "in co:lon", "in my.h5"]


@pytest.fixture
def copied(way: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the source folder, and another working folder."""
    folder = tmp_path / (way.partition("in ")[2] or "a b")
    shutil.copytree(source, folder)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


@pytest.fixture
def named(way: str, copied: Path) -> Callable[[str], str]:
    """Names files in the copied folder in one of the ways."""
    return lambda file: WAYS[way](copied, file)


@pytest.mark.parametrize("way", WAYS)
def test_all_formats_are_read(named, source):
    expected = clew.open_volume(source / "raw.zarr").read()
    for name in READ:
        np.testing.assert_array_equal(clew.open_volume(named(name), voxel_size=SIZE).read(), expected, err_msg=name)
    for form in ("precomputed://", "zarr://"):
        name = "precomputed" if form.startswith("p") else "two.zarr"
        np.testing.assert_array_equal(clew.open_volume(f"{form}{named(name)}").read(), expected)


@pytest.mark.parametrize("way", WRITE)
def test_all_commands_read_and_write(named, copied):
    training = f"{named('raw.zarr')},{named('truth.zarr')}"
    pipeline.convert(named("two.zarr"), named("new.zarr"))
    pipeline.convert(named("a.n5"), named("a.h5:more/raw"))
    pipeline.convert(named("raw.zarr"), named("new.h5:raw"))
    pipeline.info(named("new.h5:raw"))
    pipeline.synthesize(named("s.zarr"), named("t.zarr"), shape=(16, 16, 16))
    pipeline.segment(named("affinities.zarr"), named("new/result"), threshold=0.5, mask=named("truth.zarr"))
    pipeline.agglomerate(named("new/result/region_graph.h5"), named("tree.h5"))
    pipeline.relabel(named("new/result/fragments.zarr"), named("tree.h5"), named("segmentation.zarr"), threshold=0.4)
    pipeline.evaluate(named("segmentation.zarr"), named("truth.zarr"), json=named("scores.json"))
    pipeline.augment(training, preview=named("sheet.png"))
    made = {"new.zarr", "new.h5", "s.zarr", "t.zarr", "new", "tree.h5", "segmentation.zarr", "scores.json", "sheet.png"}
    assert made <= {path.name for path in copied.iterdir()}


def test_paths_in_a_run_file_start_at_the_file(source, tmp_path, monkeypatch):
    for name in ("work", "runs of today/inner"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copytree(source, tmp_path / "ünï data")
    monkeypatch.chdir(tmp_path / "work")
    file = tmp_path / "runs of today/inner/a.toml"
    file.write_text(
        'directory = "../here"\n'
        '[convert]\nsource = "precomputed://../../ünï data/precomputed"\ntarget = "../copy.zarr"\n'
        '[segment]\naffinities = "../../ünï data/affinities.zarr"\nthreshold = 0.5\n'
    )
    pipeline.run("../runs of today/inner/a.toml")
    assert {path.name for path in (tmp_path / "runs of today").iterdir()} == {"inner", "here", "copy.zarr"}
    assert (tmp_path / "runs of today/here/segmentation.zarr").is_dir()
    assert not list((tmp_path / "work").iterdir())


def test_blocks(source, tmp_path, monkeypatch):
    shutil.copytree(source, tmp_path / "a #b%20ü")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    pipeline.convert_blocks("precomputed://../a #b%20ü/precomputed", "../new runs/a b", workers=1)
    monkeypatch.chdir(tmp_path)
    pipeline.retry("new runs/a b")
    expected = clew.open_volume(source / "raw.zarr").read()
    np.testing.assert_array_equal(clew.open_volume("new runs/a b/volume.zarr").read(), expected)


OUTPUTS: dict[str, Callable[[str, str], object]] = {
    "convert": lambda data, place: pipeline.convert(f"{data}/raw.zarr", f"{place}/a.zarr"),
    "convert to HDF5": lambda data, place: pipeline.convert(f"{data}/raw.zarr", f"{place}/a.h5:raw"),
    "predict": lambda data, place: pipeline.predict(f"{data}/raw.zarr", f"{place}/a.zarr"),
    "extract-fragments": lambda data, place: pipeline.extract_fragments(f"{data}/affinities.zarr", f"{place}/a.zarr"),
    "build-region-graph": lambda data, place: pipeline.build_region_graph(
        f"{data}/affinities.zarr", f"{data}/truth.zarr", f"{place}/a.h5"
    ),
    "agglomerate": lambda data, place: pipeline.agglomerate(f"{data}/a.h5", f"{place}/b.h5"),
    "relabel": lambda data, place: pipeline.relabel(
        f"{data}/truth.zarr", f"{data}/a.h5", f"{place}/a.zarr", threshold=0.5
    ),
    "segment": lambda data, place: pipeline.segment(f"{data}/affinities.zarr", f"{place}/a"),
    "evaluate": lambda data, place: pipeline.evaluate(
        f"{data}/truth.zarr", f"{data}/truth.zarr", json=f"{place}/a.json"
    ),
    "convert-blocks": lambda data, place: pipeline.convert_blocks(f"{data}/raw.zarr", f"{place}/a"),
    "segment-blocks": lambda data, place: pipeline.segment_blocks(
        f"{data}/affinities.zarr", f"{place}/a", threshold=0.5
    ),
    "plan": lambda data, place: pipeline.plan([f"{data}/raw.zarr,{data}/truth.zarr"], output=f"{place}/a.toml"),
    "train": lambda data, place: pipeline.train(f"{place}/a.pt", data=[f"{data}/raw.zarr,{data}/truth.zarr"]),
    "augment": lambda data, place: pipeline.augment(f"{data}/raw.zarr,{data}/truth.zarr", preview=f"{place}/a.png"),
    "synthesize": lambda data, place: pipeline.synthesize(f"{place}/a.zarr", f"{place}/b.zarr", shape=(16, 16, 16)),
    "demo": lambda data, place: pipeline.demo(f"{place}/a"),
}


@pytest.mark.parametrize("command", OUTPUTS)
@pytest.mark.parametrize("place", ["{data}/a.tif", "{data}/a.tif/inner", "/proc/none", "{data}/" + "n" * 300])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(source, monkeypatch, command, place):
    def work(*_: object, **__: object) -> None:
        raise AssertionError("began to read")

    monkeypatch.setattr("clew.volumes.volume.Volume.read", work)
    with pytest.raises(
        InputError, match=r"cannot be written: .* is a file|cannot write in the folder|name is too long"
    ):
        OUTPUTS[command](str(source), place.format(data=source))


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    refuse_unwritable(tmp_path / "new/a.zarr")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(InputError, match=f"cannot write in the folder {tmp_path}: Permission denied"):
        pipeline.synthesize(str(tmp_path / "new/a.zarr"), str(tmp_path / "new/b.zarr"), shape=(16, 16, 16))


def test_links_that_lead_nowhere_and_backslashes(source, tmp_path):
    (tmp_path / "dead.zarr").symlink_to("gone.zarr")
    with pytest.raises(InputError, match=r"dead\.zarr is a link to gone\.zarr, which is not there"):
        clew.open_volume(tmp_path / "dead.zarr")
    shutil.copytree(source / "raw.zarr", tmp_path / "a\\b" / "raw.zarr")
    with pytest.raises(InputError, match=r"a\\b.*rename it"):
        clew.open_volume(tmp_path / "a\\b" / "raw.zarr")


@pytest.mark.parametrize(
    "command", ["build-region-graph", "agglomerate", "relabel", "evaluate", "evaluate-skeletons", "convert"]
)
def test_a_missing_input_is_named_before_an_existing_output(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    for name in ("a.h5", "a.json", "a.zarr"):
        Path(name).write_text("")
    calls: dict[str, Callable[[], object]] = {
        "build-region-graph": lambda: pipeline.build_region_graph("none.zarr", "none.zarr", "a.h5"),
        "agglomerate": lambda: pipeline.agglomerate("none.h5", "a.h5"),
        "relabel": lambda: pipeline.relabel("none.zarr", "none.h5", "a.zarr", threshold=0.5),
        "evaluate": lambda: pipeline.evaluate("none.zarr", "none.zarr", json="a.json"),
        "evaluate-skeletons": lambda: pipeline.evaluate_skeletons("none.zarr", "none.nml", json="a.json"),
        "convert": lambda: pipeline.convert("none.zarr", "a.zarr"),
    }
    with pytest.raises(InputError, match=r"there is no file or folder none\.(zarr|h5)$"):
        calls[command]()
