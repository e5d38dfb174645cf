"""What an error advises can be typed, and works.

The table below provokes an error, finds the advice in its message, and follows it. Beside it, every option, command and
package that any message of the package names is looked up.
"""

import ast
import inspect
import json
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest
import tifffile

import clew
from clew import pipeline
from clew.pipeline import COMMANDS
from command_line import run
from volumes.foreign import write_tensorstore

ROOT = Path(clew.__file__).parent
SIZE = (8.0, 8.0, 8.0)


class Case(NamedTuple):
    """Words of a command that fails, what its message advises, and the words that follow the advice."""

    fails: str
    advises: str
    follow: tuple[str, ...]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("advice")
    volume = clew.synthesize((40, 48, 48), seed=1)
    targets, _ = clew.affinity_targets(clew.grow_boundaries(volume.labels, 1), [(-1, 0, 0), (0, -1, 0), (0, 0, -1)])
    affinities = np.where(targets, 230, 40).astype(np.uint8)
    for name, data in {
        "raw": volume.raw,
        "truth": volume.labels,
        "affinities": affinities,
        "deep": volume.raw.astype(np.uint16) * 3,
        "channels": np.stack([volume.raw] * 2),
        "one": np.ones_like(volume.labels),
        "unknown": np.where(volume.labels > 3, np.nan, 1).astype(np.float32),
    }.items():
        clew.save_volume(folder / f"{name}.zarr", data, voxel_size=SIZE)
    clew.save_volume(folder / "coarse.zarr", volume.raw, voxel_size=(80, 80, 80))
    clew.save_volume(folder / "reversed.zarr", volume.raw, voxel_size=(4, 4, 40), offset=(4, 8, 80))
    tifffile.imwrite(folder / "a.tif", volume.raw)
    with h5py.File(folder / "two.h5", "w") as file:
        for name in ("volumes/raw", "volumes/other"):
            file[name] = volume.raw
            file[name].attrs["resolution"] = SIZE
        file["furlong"] = volume.raw
        file["furlong"].attrs.update({"resolution": SIZE, "unit": "furlong"})
    write_tensorstore("n5", folder / "a.n5", volume.raw.T.copy())
    attributes = json.loads((folder / "a.n5/attributes.json").read_text()) | {"resolution": [4, 4, 40][::-1]}
    (folder / "a.n5/attributes.json").write_text(json.dumps(attributes))
    (folder / "a.nml").write_text(
        '<things><parameters><scale x="8" y="8" z="8"/></parameters><thing id="1"><nodes>'
        '<node id="1" x="1" y="1" z="1"/><node id="2" x="5" y="5" z="5"/></nodes><edges><edge source="1" target="2"/></edges>'
        "</thing></things>"
    )
    (folder / "a.swc").write_text("1 0 80 80 80 1 -1\n2 0 160 80 80 1 1\n")
    pipeline.convert_blocks(str(folder / "raw.zarr"), str(folder / "run"), block_shape=(48, 48, 48), workers=1)
    pipeline.segment(str(folder / "affinities.zarr"), str(folder / "result"), threshold=0.5)
    for name in ("exists.zarr", "exists2.zarr"):
        clew.save_volume(folder / name, volume.raw, voxel_size=SIZE)
    for name in ("exists.json", "exists.png"):
        (folder / name).write_text("{}")
    return folder


CASES = {
    "info without a size": Case("info a.tif", "--voxel-size 8,8,8", ("info a.tif --voxel-size 8,8,8",)),
    "convert without a size": Case(
        "convert a.tif c1.zarr", "--voxel-size 8,8,8", ("convert a.tif c1.zarr --voxel-size 8,8,8",)
    ),
    "predict without a size": Case(
        "predict a.tif p1.zarr", "--voxel-size 8,8,8", ("predict a.tif p1.zarr --voxel-size 8,8,8",)
    ),
    "plan without a size": Case(
        "plan a.tif,truth.zarr --output p.toml",
        "--voxel-size z,y,x",
        ("plan a.tif,truth.zarr --output p.toml --voxel-size 8,8,8",),
    ),
    "a unit that is none": Case(
        "info two.h5:furlong", "--voxel-size z,y,x", ("info two.h5:furlong --voxel-size 8,8,8",)
    ),
    "N5 in the wrong order": Case("info a.n5", "--voxel-size z,y,x", ("info a.n5 --voxel-size 40,4,4",)),
    "existing volume": Case(
        "convert raw.zarr exists.zarr", "--overwrite", ("convert raw.zarr exists.zarr --overwrite",)
    ),
    "existing pair": Case(
        "synthesize exists2.zarr s2.zarr --shape 16,16,16",
        "--overwrite",
        ("synthesize exists2.zarr s2.zarr --shape 16,16,16 --overwrite",),
    ),
    "existing scores": Case(
        "evaluate truth.zarr truth.zarr --json exists.json",
        "--overwrite",
        ("evaluate truth.zarr truth.zarr --json exists.json --overwrite",),
    ),
    "existing picture": Case(
        "augment raw.zarr,truth.zarr --preview exists.png",
        "--overwrite",
        ("augment raw.zarr,truth.zarr --preview exists.png --overwrite",),
    ),
    "existing region graph": Case(
        "build-region-graph affinities.zarr result/fragments.zarr result/region_graph.h5",
        "--overwrite",
        ("build-region-graph affinities.zarr result/fragments.zarr result/region_graph.h5 --overwrite",),
    ),
    "which dataset": Case(
        "convert two.h5 d1.zarr", "as two.h5:(furlong)", ("convert two.h5:{} d1.zarr --voxel-size 8,8,8",)
    ),
    "nearest dataset": Case("info two.h5:volumes/rav", "did you mean '(volumes/raw)'", ("info two.h5:{}",)),
    "16 bit": Case(
        "predict deep.zarr p2.zarr", "clew (convert --dtype uint8)", ("{} deep.zarr u8.zarr", "predict u8.zarr p2.zarr")
    ),
    "a mask with NaN": Case(
        "segment affinities.zarr r3 --threshold 0.5 --mask unknown.zarr",
        "if these are outside: clew (convert .*--fill 0)",
        ("{}", "segment affinities.zarr r3 --threshold 0.5 --mask OUT.zarr"),
    ),
    "channels": Case(
        "predict channels.zarr p3.zarr",
        "clew (convert --channel 0)",
        ("{} channels.zarr c0.zarr", "predict c0.zarr p3.zarr"),
    ),
    "other blocks": Case(
        "convert-blocks raw.zarr run --block-shape 32,32,32 --workers 1",
        "--restart",
        ("convert-blocks raw.zarr run --block-shape 32,32,32 --workers 1 --restart",),
    ),
    "SWC without a unit": Case(
        "evaluate-skeletons truth.zarr a.swc", "give (--unit nm)", ("evaluate-skeletons truth.zarr a.swc {}",)
    ),
    "another size than the network's": Case(
        "predict coarse.zarr p4.zarr", "--voxel-size", ("predict coarse.zarr p4.zarr --voxel-size 8,8,8",)
    ),
    "no threshold": Case("segment affinities.zarr r2", "--threshold", ("segment affinities.zarr r2 --threshold 0.5",)),
    "a plot without a merge tree": Case(
        "evaluate result/fragments.zarr truth.zarr --plot p.png",
        "--merge-tree",
        ("evaluate result/fragments.zarr truth.zarr --plot p.png --merge-tree result/merge_tree.h5",),
    ),
    "small segments without a region graph": Case(
        "relabel result/fragments.zarr result/merge_tree.h5 s3.zarr --threshold 0.5 --minimum-size 9",
        "--region-graph",
        (
            "relabel result/fragments.zarr result/merge_tree.h5 s3.zarr --threshold 0.5 --minimum-size 9 "
            "--region-graph result/region_graph.h5",
        ),
    ),
    "skeletons for labels": Case("evaluate truth.zarr a.nml", "clew (evaluate-skeletons)", ("{} truth.zarr a.nml",)),
    "labels for skeletons": Case(
        "evaluate-skeletons truth.zarr truth.zarr", "clew (evaluate) ", ("{} truth.zarr truth.zarr",)
    ),
    "a misspelt command": Case("convrt raw.zarr x.zarr", 'Did you mean "(convert)"', ("{} raw.zarr x.zarr",)),
    "no CUDA": Case(
        "predict raw.zarr p5.zarr --device cuda", "--device cpu", ("predict raw.zarr p5.zarr --device cpu",)
    ),
    "a chunk that was lost": Case(
        "info lost.zarr",
        "clew synthesize with --overwrite",
        ("synthesize lost.zarr l.zarr --shape 16,16,16 --overwrite",),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_advice_is_given_and_works(folder, monkeypatch, capsys, name):
    monkeypatch.chdir(folder)
    if "lost" in CASES[name].fails:
        assert run(*["synthesize", "lost.zarr", "l.zarr", "--shape", "16,16,16"]) == 0
        next(file for file in Path("lost.zarr/s0/c").rglob("*") if file.is_file()).unlink()
        Path("l.zarr").rename("l2.zarr")
    capsys.readouterr()
    assert run(*CASES[name].fails.split()) != 0
    message = capsys.readouterr()
    found = re.search(CASES[name].advises, re.sub(r"[│\s]+", " ", message.out + message.err))
    assert found, message
    for words in CASES[name].follow:
        assert run(*words.format(*found.groups()).split()) == 0, capsys.readouterr()


def test_the_advice_of_a_warning_works(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    shutil.rmtree("OUT.zarr", ignore_errors=True)
    run("info", "reversed.zarr")
    advised = re.search(r"clew (convert \S+ OUT\.zarr .*)", capsys.readouterr().out)
    assert advised
    assert run(*advised[1].split()) == 0
    run("info", "OUT.zarr")
    assert "warning" not in capsys.readouterr().out
    assert clew.open_volume("OUT.zarr").voxel_size == (40, 4, 4)


def messages() -> Iterator[tuple[str, str]]:
    """Every text of the package but docstrings, with its place."""
    for path in sorted(set(ROOT.rglob("*.py")) - {ROOT / OF_THE_BROWSER}):
        tree = ast.parse(path.read_text())
        skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


def options_of(command: Callable[..., object]) -> set[str]:
    return {name.replace("_", "-") for name in inspect.signature(command).parameters}


FOREIGN = {"no-dashboard", "resources", "status", "config", "help", "version"}
"""Options of Dask, of h5clear, and of every command."""
OF_THE_BROWSER = "view/browser.py"
"""Options there are Chromium's."""


def test_every_option_command_and_extra_that_a_message_names_exists():
    known = set.union(*(options_of(getattr(pipeline, name)) for name in COMMANDS)) | FOREIGN
    commands = {name.replace("_", "-") for name in COMMANDS}
    extras = tomllib.loads((ROOT.parents[1] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wrong = []
    for place, text in messages():
        wrong += [(place, option) for option in re.findall(r"(?<![\w-])--([a-z][a-z-]*)", text) if option not in known]
        wrong += [
            (place, name)
            for name in re.findall(r"\bclew ([a-z]+(?:-[a-z]+)*)(?: *$| [A-Z{-])", text)
            if name not in commands
        ]
        wrong += [(place, extra) for extra in re.findall(r"clew\[(\w[\w-]*)\]", text) if extra not in extras]
    assert not wrong
