"""`clew check`: each fault of made-up volumes is found, says what to type, and sound ones have none."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from clew import pipeline
from clew.errors import FaultyDataError, InputError
from clew.pipeline._declare import check_names
from clew.synthetic.volume import synthesize
from clew.training.targets import affinity_targets, grow_boundaries
from clew.volumes.open import open_volume
from clew.volumes.save import save_volume
from command_line import run

SIZE = (10.0, 10.0, 10.0)
NEAREST = [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]
Arrays = dict[str, np.ndarray]


def made(shape: tuple[int, int, int] = (48, 72, 72)) -> Arrays:
    volume = synthesize(shape, seed=3)
    targets, _ = affinity_targets(grow_boundaries(volume.labels, 1), NEAREST)
    noise = np.random.default_rng(0).integers(0, 60, targets.shape)
    affinities = np.where(targets, 190 + noise, 10 + noise).astype(np.uint8)
    mask = np.ones(shape, np.uint8)
    return {"raw": volume.raw, "labels": volume.labels, "mask": mask, "affinities": affinities}


@pytest.fixture(scope="module")
def sound() -> Arrays:
    return made()


def changed(raw: np.ndarray, where: Any, value: Any) -> np.ndarray:
    copy = raw.copy()
    copy[where] = value
    return copy


def membranes(labels: np.ndarray) -> np.ndarray:
    inside = grow_boundaries(labels, 1)
    return np.where(inside > 0, inside, labels.max() + 1)


def out_of_order(raw: np.ndarray) -> np.ndarray:
    order = np.arange(len(raw))
    order[[14, 15]] = 15, 14
    return raw[order]


FAULTS: dict[str, tuple[str, str, Callable[[Arrays], np.ndarray], str]] = {
    "raw of 16 bits": ("raw", "raw", lambda a: a["raw"].astype(np.uint16) * 200, r"raw is uint16.*clew convert \S*raw"),
    "raw with NaN": ("raw", "raw", lambda a: changed(a["raw"].astype(np.float32), 3, np.nan), r"NaN or infinite.*--fill 0"),
    "empty raw": ("raw,labels", "raw", lambda a: np.zeros_like(a["raw"]), "empty volume"),
    "sections exchanged": ("raw", "raw", lambda a: out_of_order(a["raw"]), "out of order near z 14"),
    "sections missing": ("raw", "raw", lambda a: np.concatenate([a["raw"][:12], a["raw"][20:]]), "jumps after z 11"),
    "labels shifted": ("raw,labels", "labels", lambda a: np.roll(a["labels"], (0, 0, 4), (0, 1, 2)),
                       r"look shifted by \(0, 0, 4\).*clew convert \S*labels\S* OUT.zarr --offset=0,0,-40"),
    "labels mirrored": ("raw,labels", "labels", lambda a: a["labels"][:, ::-1], "flipped along y"),
    "one object": ("raw,labels", "labels", lambda a: np.ones_like(a["labels"]), "only one object"),
    "membranes as one object": ("raw,labels", "labels", lambda a: membranes(a["labels"]), "are the membranes one object"),
    "ids that wrapped": ("labels", "labels",
                         lambda a: np.indices(a["labels"].shape)[0].astype(np.uint64) % 4 + 1, "are ids used twice"),
    "ids of 16 bits that reach the end": ("labels", "labels", lambda a: np.minimum(a["labels"] * 3000, 65535).astype(np.uint16),
                                          "the largest of uint16"),
    "labels resampled": ("raw,labels", "labels", lambda a: (a["labels"] + 0.5).astype(np.float32), "resampled by interpolation"),
    "an empty mask": ("raw,labels,mask", "mask", lambda a: a["mask"] * 0, "mask excludes every voxel"),
    "a mask with -1": ("raw,labels,mask", "mask", 
                      lambda a: changed(a["mask"].astype(np.int8), slice(0, 9), -1), "must be 0 outside"),
    "a mask of nothing": ("mask", "mask", lambda a: a["mask"] * 0, "0 everywhere: an empty volume"),
    "affinities inverted": ("affinities", "affinities", lambda a: 255 - a["affinities"],
                            r"high must mean the same object.*--range 255,0"),
    "logits": ("affinities", "affinities", lambda a: a["affinities"] / np.float32(20) - 6, "apply a sigmoid"),
    "affinities of floats inverted": ("affinities,labels", "affinities", lambda a: 1 - a["affinities"] / np.float32(255),
                                      "high at borders.*--range 1,0"),
    "affinities of 0 and 1": ("affinities", "affinities", lambda a: a["affinities"] // 128, r"--range 0,1"),
    "affinities against labels inverted": ("affinities,labels", "affinities", lambda a: 255 - a["affinities"], "high at borders"),
    "channels x, y, z": ("affinities,labels", "affinities", lambda a: a["affinities"][::-1],
                         r"channel 0, of \(-1, 0, 0\), fits \(0, 0, -1\)"),
    "pairs with the voxel after": ("affinities,labels", "affinities",
                                   lambda a: np.stack([np.roll(each, -1, axis) for axis, each in enumerate(a["affinities"])]),
                                   r"of \(-1, 0, 0\), fits \(1, 0, 0\)"),
    "affinities against raw inverted": ("affinities,raw", "affinities", lambda a: 255 - a["affinities"], "dark lines of raw"),
}  # fmt: skip
"""What is checked, which array of it is spoilt, how, and what is said."""


def write(folder: Path, arrays: Arrays, **changes: Any) -> None:
    for name, data in arrays.items():
        save_volume(folder / f"{name}.zarr", data, voxel_size=SIZE, overwrite=True, **changes)


def item(names: str) -> str:
    return ",".join(f"{name}.zarr" for name in names.split(","))


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_found(sound: Arrays, tmp_path: Path, monkeypatch, capsys, fault: str):
    monkeypatch.chdir(tmp_path)
    names, spoilt, spoil, said = FAULTS[fault]
    write(tmp_path, {name: sound[name] for name in names.split(",")} | {spoilt: spoil(sound)})
    with pytest.raises(FaultyDataError, match="serious finding"):
        pipeline.check([item(names)])
    serious = [line for line in capsys.readouterr().out.splitlines() if "SERIOUS" in line]
    assert re.search(said, " ".join(serious)), serious
    for name, words in re.findall(r"clew ([a-z]+)([^;]*)", " ".join(serious)):
        check_names(name, [word.replace("-", "_") for word in re.findall(r" --([a-z-]+)", words)], options_of(name))


def options_of(command: str) -> list[str]:
    import inspect

    return list(inspect.signature(getattr(pipeline, command)).parameters)


@pytest.mark.parametrize(
    "names", ["raw", "labels", "affinities", "raw,labels", "raw,labels,mask", "affinities,labels", "affinities,raw"]
)
def test_sound_volumes_have_no_serious_finding(sound: Arrays, tmp_path: Path, monkeypatch, capsys, names: str):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {name: sound[name] for name in names.split(",")})
    pipeline.check([item(names)])
    assert "nothing serious was found" in capsys.readouterr().out


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("names", ["labels", "raw,labels"])
def test_membranes_of_0_are_told_and_no_fault(
    sound: Arrays, tmp_path: Path, monkeypatch, capsys, names: str, steps: int
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"raw": sound["raw"], "labels": grow_boundaries(sound["labels"], steps)})
    pipeline.check([item(names)])
    said = capsys.readouterr().out
    assert "neurons touch at 0% of their borders: else 0 lies between them" in said
    assert "nothing serious was found" in said
    write(tmp_path, {"raw": sound["raw"], "labels": np.where(sound["labels"] % 2, sound["labels"], 0)})
    with suppress(FaultyDataError):
        pipeline.check([item(names)])
    assert "0 lies between them" not in capsys.readouterr().out, "whole neurons that nobody labelled are no membranes"


def test_another_scale_or_place(sound: Arrays, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"raw": sound["raw"]})
    save_volume("coarse.zarr", sound["labels"][::2, ::2, ::2], voxel_size=(20, 20, 20))
    save_volume("far.zarr", sound["labels"], voxel_size=SIZE, offset=(9000, 0, 0))
    save_volume("tiny.zarr", sound["raw"], voxel_size=(0.01, 0.01, 0.01))
    for name, said in (("coarse", "has voxels of 20, 20, 20 nm"), ("far", "share no voxel")):
        with pytest.raises(FaultyDataError):
            pipeline.check([f"raw.zarr,{name}.zarr"])
        assert said in capsys.readouterr().out
    pipeline.check(["tiny.zarr"])
    assert "is not that of an electron microscope" in capsys.readouterr().out


def test_exit_codes(sound: Arrays, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"raw": sound["raw"], "labels": sound["labels"]})
    assert run("check", "raw.zarr") == 0
    assert run("check", "absent.zarr") == 2
    save_volume("deep.zarr", sound["raw"].astype(np.uint16), voxel_size=SIZE)
    assert run("check", "raw.zarr", "deep.zarr") == 1
    assert "1 serious finding is listed above" in capsys.readouterr().err
    with pytest.raises(InputError, match="needs something"):
        pipeline.check([])


def test_ids_that_two_volumes_use_are_said(sound: Arrays, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "other"):
        save_volume(f"{name}.zarr", sound["labels"], voxel_size=SIZE)
    pipeline.check(["one.zarr", "other.zarr"])
    assert re.search(r"ids \(100%\) occur both in one.zarr and in other.zarr", capsys.readouterr().out)


def test_a_segmentation_with_many_zeros(sound: Arrays, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    labels = changed(sound["labels"], np.s_[:, :20], 0)
    save_volume("truth.zarr", labels, voxel_size=SIZE)
    save_volume("found.zarr", labels, voxel_size=SIZE, attributes={"stage": "relabel"})
    pipeline.check(["truth.zarr"])
    with pytest.raises(FaultyDataError):
        pipeline.check(["found.zarr"])
    assert "of the segmentation are 0" in capsys.readouterr().out


def test_skeletons_of_another_place_or_unit(sound: Arrays, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"raw": sound["raw"]})
    nodes = np.array([[600, 500, 300], [610, 400, 20], [500, 300, 310]])  # x, y, z in nm

    def swc(name: str, positions: np.ndarray) -> str:
        rows = [f"{n} 0 {x} {y} {z} 1 {n - 1 if n > 1 else -1}" for n, (x, y, z) in enumerate(positions, 1)]
        Path(name).write_text("\n".join(rows))
        return f"raw.zarr,{name}"

    pipeline.check([swc("right.swc", nodes)])
    for name, positions, said in (
        ("turned.swc", nodes[:, ::-1] + (0, 0, 100), "with x and z exchanged"),
        ("far.swc", nodes + 5000, "100% of 3 nodes lie outside"),
    ):
        with pytest.raises(FaultyDataError):
            pipeline.check([swc(name, positions)])
        assert said in capsys.readouterr().out
    with pytest.raises(InputError, match="clew check VOLUME,right.swc"):
        pipeline.check(["right.swc"])


def traced(labels: np.ndarray) -> list[list[np.ndarray]]:
    """For the largest objects, a voxel (z, y, x) in the middle of each section."""
    ids, counts = np.unique(labels[labels > 0], return_counts=True)
    found = []
    for each in ids[np.argsort(-counts)[:8]]:
        sections = [(z, np.argwhere(section == each)) for z, section in enumerate(labels) if (section == each).any()]
        near = [(z, spots[np.argmin(((spots - spots.mean(0)) ** 2).sum(1))]) for z, spots in sections]
        found.append([np.array([z, *spot]) for z, spot in near])
    return found


MISTAKES = {
    "sound": (lambda voxels: voxels * SIZE, {}, ""),
    "sound, placed": (lambda voxels: voxels * SIZE + 400, {"offset": (400, 400, 400)}, ""),
    "x and z": (lambda voxels: voxels[::-1] * SIZE, {}, "with x and z exchanged"),
    "micrometres": (lambda voxels: voxels * SIZE / 1e3, {}, r"in µm \(--unit um\)"),
    "voxels": (lambda voxels: voxels, {}, r"in voxels \(--unit voxels\)"),
    "no offset": (
        lambda voxels: voxels * SIZE,
        {"offset": (400, 400, 400)},
        "begin at 0: clew convert .*--offset=0,0,0",
    ),
    "moved": (
        lambda voxels: (voxels + np.array([0, 8, 0])) * SIZE,
        {},
        "moved by 8 voxels along y: clew convert .*--offset=0,80,0",
    ),
    "half the scale": (lambda voxels: voxels * SIZE / 2, {}, "with 2 times the voxel size"),
}
"""Where a node is written, where the labels lie, and what is said."""


@pytest.mark.parametrize("name", MISTAKES)
def test_skeletons_that_do_not_follow_their_labels(sound: Arrays, tmp_path: Path, monkeypatch, capsys, name: str):
    monkeypatch.chdir(tmp_path)
    wrong, place, said = MISTAKES[name]
    save_volume("labels.zarr", sound["labels"], voxel_size=SIZE, **place)
    Path("n").mkdir()
    for number, nodes in enumerate(traced(sound["labels"]), 1):
        rows = [(n, wrong(voxel)) for n, voxel in enumerate(nodes, 1)]
        lines = [f"{n} 0 {x} {y} {z} 1 {n - 1 if n > 1 else -1}" for n, (z, y, x) in rows]
        Path(f"n/{number}.swc").write_text("\n".join(lines))
    if not said:
        pipeline.check(["labels.zarr,n"])
        assert "skeletons in labels\n  nothing to complain of" in capsys.readouterr().out
        return
    with pytest.raises(FaultyDataError):
        pipeline.check(["labels.zarr,n"])
    assert re.search(said, capsys.readouterr().out)


def test_one_dataset_that_cannot_be_read_does_not_hide_the_others(sound: Arrays, tmp_path: Path, capsys):
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["a"] = np.zeros((32, 32, 32, 3), np.uint8)
        file["b"] = sound["raw"]
        for dataset in file.values():
            dataset.attrs["resolution"] = SIZE
    assert run("check", str(tmp_path / "two.h5")) == 1
    said = capsys.readouterr().out
    assert re.search("two.h5:a\n  SERIOUS", said)
    assert re.search("two.h5:b\n  taken for   raw", said)


def test_files_with_several_volumes(sound: Arrays, tmp_path: Path, capsys):
    for name in ("raw", "labels"):
        save_volume(f"{tmp_path}/two.h5:{name}", sound[name], voxel_size=SIZE)
    pipeline.check([f"{tmp_path}/two.h5"])
    printed = capsys.readouterr().out
    assert "two.h5:raw\n  taken for   raw" in printed
    assert "two.h5:labels\n  taken for   labels" in printed
    assert open_volume(f"{tmp_path}/two.h5:raw").shape == sound["raw"].shape
