"""What is made from what: outputs know their inputs again, and nothing new stands beside something old unnoticed."""

import json
import os
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from clew import cli, pipeline
from clew.errors import InputError
from clew.network.checkpoint import Checkpoint, save_checkpoint
from clew.network.options import PRESETS
from clew.network.unet import UNet
from clew.pipeline import _identity as identity
from clew.pipeline._identity import identify
from clew.space import NEAREST_OFFSETS
from clew.synthetic.volume import synthesize
from clew.volumes.affinities import affinity_attributes
from clew.volumes.open import open_volume
from clew.volumes.save import save_volume
from clew.volumes.tables import MARK, load_table, save_table, table_record
from noise import noisy_affinities

RUN = import_module("clew.pipeline.run")

SHAPE = (16, 24, 32)
VOXELS = {"voxel_size": (10.0, 10.0, 10.0)}
MADE = ("affinities.zarr", "fragments.zarr", "region_graph.h5", "merge_tree.h5", "segmentation.zarr")
SMALL_RUN = {"preset": "tiny", "crop": (16, 16, 16), "margin": 0, "device": "cpu"}


def save_network(path: Path, seed: int) -> None:
    torch.manual_seed(seed)
    save_checkpoint(path, Checkpoint(UNet(PRESETS["tiny"]), (10.0, 10.0, 10.0), 0.4, "mean", {"step": 1}))


def save_affinities(path: Path, seed: int = 0, **options: Any) -> None:
    values = noisy_affinities(synthesize(SHAPE, seed=3).labels, seed)
    save_volume(path, values, attributes=affinity_attributes(NEAREST_OFFSETS, "uint8"), **VOXELS, **options)


def save_foreign(path: Path, values: np.ndarray) -> None:
    """As others write HDF5."""
    with h5py.File(path, "a") as file:
        if "volume" in file:
            del file["volume"]
        file["volume"] = values
        file["volume"].attrs["resolution"] = (10.0, 10.0, 10.0)


@pytest.fixture
def followed(tmp_path: Path) -> Path:
    """A run file that has been followed, from a raw volume of others to the segmentation."""
    save_foreign(tmp_path / "raw.h5", synthesize(SHAPE, seed=2).raw)
    save_network(tmp_path / "network.pt", 0)
    file = tmp_path / "neurons.toml"
    file.write_text(
        '[predict]\nraw = "raw.h5:volume"\ncheckpoint = "network.pt"\ndevice = "cpu"\n'
        "[segment]\nseed_window = 3\nthreshold = 0.4\n"
    )
    pipeline.run(file)
    return file


def make_old(path: Path) -> None:
    """As clew wrote it before there were ids, inputs and checksums of tables."""
    if path.suffix == ".h5":
        table = load_table(path)
        with h5py.File(path, "w") as file:
            file.attrs[MARK] = table.kind
            file.attrs["clew"] = json.dumps(without_inputs(table.attributes))
            for name, column in table.columns.items():
                file[name] = column
        return
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["clew"] = without_inputs(document["attributes"]["clew"])
    (path / "zarr.json").write_text(json.dumps(document))


def without_inputs(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in ("id", "inputs")}


def ids_in(folder: Path) -> dict[str, str]:
    return {name: identity.record_in(str(folder / name))["id"] for name in MADE}


def assert_fits(folder: Path) -> None:
    """Every output was made from the ones that are there now."""
    for name in MADE[1:]:
        record = identity.record_in(str(folder / name))
        assert record["inputs"]
        for option, found in record["inputs"].items():
            assert found == identify(record["parameters"][option]), (name, option)


def test_what_a_stopped_overwrite_left_old_is_made_anew(
    followed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    folder = followed.with_suffix("")
    before = ids_in(folder)
    pipeline.run(followed)
    assert ids_in(folder) == before
    assert capsys.readouterr().out.count("there already") == 5

    def stopped(stage: Any, arguments: dict[str, Any], replacing: bool) -> bool:
        if stage.__name__ != "predict":
            raise KeyboardInterrupt
        return make(stage, arguments, replacing)

    make = RUN._make
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(RUN, "_make", stopped)
        pipeline.run(followed, overwrite=True)
    pipeline.run(followed)
    assert "affinities.zarr has changed" in capsys.readouterr().out
    after = ids_in(folder)
    assert after["affinities.zarr"] != before["affinities.zarr"]
    assert after["fragments.zarr"] != before["fragments.zarr"]
    assert_fits(folder)


@pytest.mark.parametrize("name", ["raw.h5", "network.pt"])
def test_a_file_that_was_replaced_is_named_and_nothing_is_lost(followed: Path, name: str):
    folder, file = followed.with_suffix(""), followed.parent / name
    shutil.copy2(file, file.with_name("kept"))
    before = ids_in(folder)
    if name == "raw.h5":
        save_foreign(file, synthesize(SHAPE, seed=5).raw)
    else:
        save_network(file, 1)
    with pytest.raises(InputError, match=rf"made from another (raw|checkpoint) than .*{name}.* move it away"):
        pipeline.run(followed)
    assert ids_in(folder) == before
    replaced = file.rename(file.with_name("replaced"))
    file.with_name("kept").rename(file)
    pipeline.run(followed)
    assert ids_in(folder) == before
    replaced.rename(file)
    (folder / "affinities.zarr").rename(folder / "affinities of the first.zarr")
    pipeline.run(followed)
    assert not set(ids_in(folder).values()) & {before["affinities.zarr"], before["fragments.zarr"]}
    assert_fits(folder)


def test_a_training_that_went_on_makes_the_prediction_anew(tmp_path: Path, capsys: pytest.CaptureFixture):
    volume = synthesize((32, 32, 32), seed=2)
    for name in ("raw", "labels"):
        save_volume(tmp_path / f"{name}.zarr", getattr(volume, name), **VOXELS)
    file = tmp_path / "run.toml"
    file.write_text(
        '[train]\ncheckpoint = "net.pt"\ndata = ["raw.zarr,labels.zarr"]\nsteps = 1\ndevice = "cpu"\n'
        'preset = "tiny"\ncrop = [16, 16, 16]\nmargin = 0\n[predict]\nraw = "raw.zarr"\ncheckpoint = "net.pt"\ndevice = "cpu"\n'
    )
    pipeline.run(file)
    save_network(tmp_path / "net.pt", 1)
    pipeline.run(file)
    assert "is made anew, because" in capsys.readouterr().out
    pipeline.run(file)
    assert "affinities.zarr is there already" in capsys.readouterr().out


def test_a_folder_moved_with_all_that_is_in_it_is_the_same(followed: Path, tmp_path_factory: Any):
    before = ids_in(followed.with_suffix(""))
    elsewhere = tmp_path_factory.mktemp("disk") / "project"
    shutil.copytree(followed.parent, elsewhere, copy_function=shutil.copy)  # as cp -r: all files are of now
    shutil.rmtree(followed.parent)
    pipeline.run(elsewhere / followed.name)
    assert ids_in(elsewhere / followed.stem) == before


def test_outputs_of_other_programs_and_of_earlier_versions(followed: Path, capsys: pytest.CaptureFixture):
    folder = followed.with_suffix("")
    for name in MADE:
        make_old(folder / name)
    capsys.readouterr()
    pipeline.run(followed)
    assert capsys.readouterr().out.count("of an earlier version of clew, which noted no inputs") == 5
    mine = np.zeros(SHAPE, np.uint64)
    save_volume(folder / "segmentation.zarr", mine, **VOXELS, overwrite=True)
    shutil.rmtree(folder / "affinities.zarr")
    with pytest.raises(InputError, match="was not made by relabel; move it away"):
        pipeline.run(followed)
    assert not open_volume(folder / "segmentation.zarr").read().any()
    assert not (folder / "affinities.zarr").exists()


def replace_values(path: Path) -> None:
    save_foreign(path, np.ones(SHAPE, np.uint8))


def replace_sections(path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.full(SHAPE[1:], 9, np.uint8)).save(path / "section_03.png")


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("replace", [replace_values, replace_sections], ids=["hdf5", "sections"])
def test_a_block_run_notices_that_its_mask_was_replaced(tmp_path: Path, replace: Callable[[Path], None]):
    save_affinities(tmp_path / "affinities.zarr")
    if replace is replace_values:
        mask, name = tmp_path / "mask.h5", f"{tmp_path / 'mask.h5'}:volume"
        save_foreign(mask, np.full(SHAPE, 255, np.uint8))
    else:
        from PIL import Image

        mask = tmp_path / "mask"
        name = str(mask)
        mask.mkdir()
        for number in range(SHAPE[0]):
            Image.fromarray(np.full(SHAPE[1:], 255, np.uint8)).save(mask / f"section_{number:02}.png")
    options = {"block_shape": SHAPE, "threshold": 0.4, "seed_window": 3, "workers": 1}
    given = (str(tmp_path / "affinities.zarr"), str(tmp_path / "run"))
    pipeline.segment_blocks(*given, mask=name, **options)
    written = ids_of_run(tmp_path / "run")
    pipeline.segment_blocks(*given, mask=name, **options)
    assert ids_of_run(tmp_path / "run") == written
    replace(mask)
    for again in (lambda: pipeline.segment_blocks(*given, mask=name, **options), lambda: pipeline.retry(given[1])):
        with pytest.raises(InputError, match=r"begun with another mask than .*mask.* give another folder"):
            again()
    assert ids_of_run(tmp_path / "run") == written


def ids_of_run(folder: Path) -> list[str]:
    return [identity.record_in(str(folder / name))["id"] for name in MADE if (folder / name).exists()]


@pytest.mark.usefixtures("in_this_process")
def test_a_block_run_of_an_earlier_version_goes_on(tmp_path: Path):
    save_affinities(tmp_path / "affinities.zarr")
    given = (str(tmp_path / "affinities.zarr"), str(tmp_path / "run"))
    options = {"block_shape": SHAPE, "threshold": 0.4, "seed_window": 3, "workers": 1}
    pipeline.segment_blocks(*given, **options)
    file = tmp_path / "run" / "plan.json"
    plan = json.loads(file.read_text())
    created = open_volume(given[0]).attributes["created"]
    for written in (created, "2020-01-01T00:00:00+00:00"):
        file.write_text(json.dumps(plan | {"inputs": [{"shape": [3, *SHAPE], "dtype": "uint8", "written": written}]}))
        if written == created:
            pipeline.segment_blocks(*given, **options)
            assert json.loads(file.read_text()) == plan
        else:
            with pytest.raises(InputError, match=r"begun with another input than .*affinities\.zarr"):
                pipeline.segment_blocks(*given, **options)


@pytest.mark.usefixtures("in_this_process")
def test_a_block_run_may_move_with_its_inputs(tmp_path: Path):
    (tmp_path / "old").mkdir()
    save_affinities(tmp_path / "old" / "affinities.zarr")
    options = {"block_shape": SHAPE, "threshold": 0.4, "seed_window": 3, "workers": 1}
    pipeline.segment_blocks(str(tmp_path / "old" / "affinities.zarr"), str(tmp_path / "old" / "run"), **options)
    (tmp_path / "old").rename(tmp_path / "new")
    pipeline.segment_blocks(str(tmp_path / "new" / "affinities.zarr"), str(tmp_path / "new" / "run"), **options)
    pipeline.retry(str(tmp_path / "new" / "run"))
    assert len(set(ids_of_run(tmp_path / "new" / "run"))) == 3
    relabelled = {"threshold": 0.5, "workers": 1}
    pipeline.relabel_blocks(str(tmp_path / "new" / "run"), str(tmp_path / "new" / "half"), **relabelled)
    (tmp_path / "new").rename(tmp_path / "newer")
    pipeline.relabel_blocks(str(tmp_path / "newer" / "run"), str(tmp_path / "newer" / "half"), **relabelled)


def test_training_data_that_were_replaced_are_named(tmp_path: Path):
    volume = synthesize((32, 32, 32), seed=2)
    save_volume(tmp_path / "raw.zarr", volume.raw, **VOXELS)
    save_foreign(tmp_path / "labels.h5", volume.labels)
    data = [f"{tmp_path}/raw.zarr,{tmp_path}/labels.h5:volume"]
    given = {"data": data, "steps": 1, **SMALL_RUN}
    pipeline.train(str(tmp_path / "net.pt"), **given)
    config = json.loads((tmp_path / "net.training" / "config.json").read_text())
    weights = (tmp_path / "net.pt").read_bytes()
    save_foreign(tmp_path / "labels.h5", synthesize((32, 32, 32), seed=4).labels)
    with pytest.raises(InputError, match=r"another data than .*labels\.h5:volume is now"):
        pipeline.train(str(tmp_path / "net.pt"), **given)
    assert (tmp_path / "net.pt").read_bytes() == weights
    del config["inputs"]  # of an earlier version
    (tmp_path / "net.training" / "config.json").write_text(json.dumps(config))
    pipeline.train(str(tmp_path / "net.pt"), **given)


def test_scores_say_what_they_are_of(tmp_path: Path):
    for seed, name in enumerate(("segmentation", "truth")):
        save_volume(tmp_path / f"{name}.zarr", synthesize(SHAPE, seed=seed).labels, **VOXELS)
    paths = [str(tmp_path / f"{name}.zarr") for name in ("segmentation", "truth")]
    cli.main(["evaluate", *paths, "--json", str(tmp_path / "scores.json")])
    found = json.loads((tmp_path / "scores.json").read_text())
    assert found["stage"] == "evaluate"
    assert found["parameters"]["truth"] == paths[1]
    assert found["inputs"] == {"segmentation": identify(paths[0]), "truth": identify(paths[1])}
    assert found["scores"][0]["threshold"] is None


def test_an_output_has_an_id_of_its_own(tmp_path: Path):
    save_affinities(tmp_path / "a.zarr")
    first = open_volume(tmp_path / "a.zarr")
    save_volume(tmp_path / "b.zarr", first, attributes=first.attributes, **VOXELS)
    pipeline.convert(str(tmp_path / "a.zarr"), f"{tmp_path}/c.h5:data")
    copies = [identify(path) for path in (str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr"), f"{tmp_path}/c.h5:data")]
    assert len({found[0]["id"] for found in copies}) == 3
    assert open_volume(f"{tmp_path}/c.h5:data").attributes["inputs"] == {"source": copies[0]}


def test_equal_tables_have_equal_ids(tmp_path: Path):
    def table_id(**columns: Any) -> str:
        save_table(tmp_path / "table.h5", columns, overwrite=True)
        return str((table_record(tmp_path / "table.h5") or {})["id"])

    first = table_id(a=[1, 2], b=[])
    assert first == table_id(a=[1, 2], b=[])
    others = [
        table_id(a=[2, 1], b=[]),
        table_id(a=[1.0, 2.0], b=[]),
        table_id(c=[1, 2], b=[]),
        table_id(a=[[1], [2]], b=[]),
    ]
    assert len({first, *others}) == 5


@pytest.mark.parametrize("small", [True, False])
def test_files_are_known_by_content_or_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: bool):
    monkeypatch.setattr(identity, "SMALL", 100 if small else 2)
    file, folder = tmp_path / "skeletons.nml", tmp_path / "raw.zarr"
    folder.mkdir()
    for place in (file, folder / "0.0.0"):
        place.write_text("text")
        given = str(place if place == file else folder)
        before = identify(given)
        (tmp_path / "other").write_text("text")
        (folder / ".DS_Store").touch()
        assert identify(given) == before
        os.utime(place, (0, 0))
        assert (identify(given) == before) is small
        place.write_text("longer")
        assert identify(given) != before
    assert identify("nothing is here") == [{}]
    assert identify("fib-10nm") != [{}]


def test_a_dataset_is_the_same_when_another_is_added(tmp_path: Path):
    save_foreign(tmp_path / "file.h5", np.ones(SHAPE, np.uint8))
    before = identify(f"{tmp_path}/file.h5:volume")
    pipeline.convert(f"{tmp_path}/file.h5:volume", f"{tmp_path}/file.h5:copy")
    assert identify(f"{tmp_path}/file.h5:volume") == before
    with h5py.File(tmp_path / "file.h5", "a") as file:
        file["volume"][3, 3, 3] = 2
    assert identify(f"{tmp_path}/file.h5:volume") != before
