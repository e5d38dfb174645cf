"""What a command says at its end to type next can be typed, and works."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import clew
from clew import pipeline
from clew.pipeline import COMMANDS
from clew.pipeline._ending import ENDINGS
from command_line import run

TINY = "--preset tiny --steps 1 --warmup 1 --malis-after 1 --crop 16,16,16 --device cpu --validate-every 1"
CHAINS = {
    "synthesize": "synthesize s-raw.zarr s-labels.zarr --shape 16,16,16",
    "convert raw": "convert raw.zarr c.zarr",
    "convert labels": "convert truth.zarr t.zarr",
    "info of raw": "info raw.zarr",
    "info of labels": "info truth.zarr",
    "info of affinities": "info affinities.zarr",
    "extract-fragments": "extract-fragments affinities.zarr steps/fragments.zarr",
    "segment": "segment affinities.zarr whole --threshold 0.4",
    "relabel": "relabel made/fragments.zarr made/merge_tree.h5 apart.zarr --threshold 0.3",
    "evaluate": "evaluate made/segmentation.zarr truth.zarr --json scores.json",
    "evaluate fragments": "evaluate made/fragments.zarr truth.zarr --merge-tree made/merge_tree.h5 --thresholds 3",
    "evaluate skeletons": "evaluate-skeletons made/segmentation.zarr a.nml",
    "choose a threshold": "choose-threshold --data made,truth.zarr --score mean --thresholds 3",
    "choose a threshold of the same score": "choose-threshold --data made,truth.zarr --score hist_quant_75_init_max --thresholds 3",
    "segment-blocks": "segment-blocks affinities.zarr blocks --threshold 0.5 --workers 1 --block-shape 24,24,24",
    "evaluate-blocks": "evaluate-blocks made/segmentation.zarr truth.zarr scored --workers 1",
    "convert-blocks": "convert-blocks raw.zarr copied --workers 1",
    "export": "export made/segmentation.zarr handed-on --workers 1",
    "export a table": "export made/segmentation.zarr listed --format table --workers 1",
    "check a pair": "check raw.zarr,truth.zarr",
    "check labels": "check truth.zarr",
    "proofread": "proofread made",
    "report": "report made",
    "train": f"train t.pt --data raw.zarr,truth.zarr {TINY}",
    "augment": "augment raw.zarr,truth.zarr --preview sheet.png --crop 16,16,16",
}
"""Commands; what each says to type next is typed, until nothing follows or it has been typed before."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("endings")
    volume = clew.synthesize((24, 32, 32), seed=1)
    targets, _ = clew.affinity_targets(clew.grow_boundaries(volume.labels, 1), [(-1, 0, 0), (0, -1, 0), (0, 0, -1)])
    affinities = np.where(targets, 230, 40).astype(np.uint8)
    for name, data in {"raw": volume.raw, "truth": volume.labels, "affinities": affinities}.items():
        clew.save_volume(folder / f"{name}.zarr", data, voxel_size=(10, 10, 10))
    (folder / "a.nml").write_text(
        '<things><parameters><scale x="10" y="10" z="10"/></parameters><thing id="1"><nodes>'
        '<node id="1" x="1" y="1" z="1"/><node id="2" x="5" y="5" z="5"/></nodes><edges><edge source="1" target="2"/></edges>'
        "</thing></things>"
    )
    pipeline.segment(str(folder / "affinities.zarr"), str(folder / "made"), threshold=0.5)
    (folder / "steps").mkdir()
    return folder


def test_every_command_has_an_ending():
    assert list(ENDINGS.keys() ^ COMMANDS.keys()) == []


@pytest.mark.parametrize("name", CHAINS)
def test_what_is_said_to_type_next_works(folder, monkeypatch, capsys, name):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("clew.view.neuroglancer.wait", lambda viewer: None)
    words, typed = shlex.split(CHAINS[name]), set[str]()
    while words[0] not in typed or "--export" in words:
        typed.add(words[0])
        assert run(*words) == 0, (words, capsys.readouterr().err)
        said = capsys.readouterr().out
        for path in re.findall(r"^wrote  (.*)$", said, re.M):
            assert all(Path(each).exists() for each in path.split(", ")), said
        follow = re.findall(r"^next   clew (.*)$", said, re.M)
        if not follow or words[0] == "plan":  # a plan is for hours
            assert words[0] in ("view", "plan"), (words, said)
            return
        words = shlex.split(follow[0])


def test_a_run_file_and_a_run_in_blocks_end_as_their_last_command(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    Path("way.toml").write_text('[segment]\naffinities = "affinities.zarr"\nthreshold = 0.5\n')
    assert run("run", "way.toml") == 0
    said = capsys.readouterr().out
    assert "wrote  way/fragments.zarr, way/region_graph.h5, way/merge_tree.h5, way/segmentation.zarr" in said
    assert said.endswith("next   clew view way\n")
    assert run("convert-blocks", "raw.zarr", "again", "--workers", "1") == 0
    for command in ("status", "retry"):
        capsys.readouterr()
        assert run(command, "again") == 0
        assert "next   clew view" in capsys.readouterr().out


def test_outputs_that_are_there_are_never_proposed(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    Path("run").mkdir(exist_ok=True)
    assert run("info", "affinities.zarr") == 0
    assert re.search(r"^next   clew segment affinities.zarr run-\d --threshold 0.5$", capsys.readouterr().out, re.M)
