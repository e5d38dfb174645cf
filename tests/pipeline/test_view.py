"""`clew view` before and without a browser: what is opened, and what is said about it."""

import json
import shutil
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
import pytest

from clew import pipeline
from clew.errors import InputError
from clew.view import neuroglancer
from clew.volumes.open import open_volume
from clew.volumes.save import save_volume
from clew.volumes.shared import SharedVolume
from pipeline.block_runs import OPTIONS

SIZE = (40.0, 8.0, 4.0)


@pytest.fixture
def shown(monkeypatch):
    """What would be shown: layers, threshold, and the viewer."""
    found = SimpleNamespace(layers=[], viewer=SimpleNamespace(clew=SimpleNamespace(state={}, keep=None)))

    def view(layers, *, port, threshold, marks, say, position=None, selected=()):
        found.layers, found.threshold, found.marks = list(layers), threshold, marks
        found.position, found.selected = position, selected
        return found.viewer

    monkeypatch.setattr(neuroglancer, "view", view)
    monkeypatch.setattr(neuroglancer, "address_of", lambda viewer: "http://127.0.0.1:80/v/token/")
    monkeypatch.setattr(neuroglancer, "wait", lambda viewer: None)
    return found


@pytest.fixture
def raw(tmp_path):
    path = str(tmp_path / "raw.zarr")
    save_volume(path, np.zeros((4, 8, 8), np.uint8), voxel_size=SIZE)
    return path


@pytest.fixture
def in_blocks(affinities, in_this_process, tmp_path):
    """The folder of a finished `segment-blocks`."""
    folder = tmp_path / "blocks"
    pipeline.segment_blocks(str(affinities), str(folder), **OPTIONS)
    return folder


def names(shown):
    return [layer.name for layer in shown.layers]


@pytest.mark.parametrize(("offset", "apart"), [((0, 0, 0), False), ((120, 0, 0), False), ((160, 0, 0), True),
                                               ((0, -64, 0), True)])  # fmt: skip
def test_layers_that_share_no_place_are_told(shown, raw, tmp_path, capsys, offset, apart):
    labels = str(tmp_path / "labels.zarr")
    save_volume(labels, np.ones((4, 8, 8), np.uint64), voxel_size=SIZE, offset=offset)
    pipeline.view(raw, segmentation=labels)
    assert names(shown) == ["raw", "segmentation"]
    assert ("share no place" in capsys.readouterr().err) == apart


def test_raw_can_be_named_as_an_option(shown, raw):
    pipeline.view(raw=raw)
    assert names(shown) == ["raw"]
    with pytest.raises(InputError, match="two raw volumes"):
        pipeline.view(raw, raw=raw)


def test_the_address_and_the_line_for_ssh_are_said(shown, raw, capsys):
    pipeline.view(raw)
    said = capsys.readouterr()
    assert "open http://127.0.0.1:80/v/token/ in a browser" in said.err + said.out
    assert "ssh -L 80:127.0.0.1:80 " in said.err + said.out


def test_all_of_a_run_is_shown_with_the_threshold_that_was_used(shown, expected):
    pipeline.view(str(expected))
    assert names(shown) == ["affinities", "fragments", "segmentation"]
    live = shown.layers[-1]
    assert live.tree is not None
    assert live.data.source == open_volume(expected / "fragments.zarr").source, "cuts are made of the fragments"
    assert shown.threshold == OPTIONS["threshold"]


def test_what_is_given_wins_over_what_is_in_the_folder(shown, expected, raw):
    pipeline.view(str(expected), raw=raw, truth=str(expected / "segmentation.zarr"), threshold=0.9)
    assert names(shown) == ["raw", "affinities", "fragments", "segmentation", "truth"]
    assert shown.threshold == 0.9


def test_a_run_in_blocks_has_its_stored_scales(shown, in_blocks):
    pipeline.view(str(in_blocks))
    assert names(shown) == ["affinities", "fragments", "segmentation"]
    assert not any(layer.changing for layer in shown.layers)


def test_a_run_at_work_shows_what_there_is(shown, in_blocks, capsys):
    (in_blocks / "merge_tree.h5").unlink()
    for name in ("fragments", "segmentation"):
        (in_blocks / f"{name}.zarr" / "zarr.json").unlink()
    wanted = np.asarray(open_volume(in_blocks / "fragments.zarr" / "s0", voxel_size=(8, 8, 8)).read())
    pipeline.view(str(in_blocks))
    assert names(shown) == ["affinities", "fragments", "segmentation"]
    fragments = shown.layers[1]
    assert fragments.changing
    box = np.s_[0:16, 0:16, 0:32]
    np.testing.assert_array_equal(fragments.data[box], wanted[box])
    (in_blocks / "fragments.zarr" / "s0" / "c" / "0" / "0" / "0").unlink()
    assert not fragments.data[box].any(), "what is not yet there is 0"
    np.testing.assert_array_equal(fragments.data[16:24, 0:16, 0:32], wanted[16:24, 0:16, 0:32])


def test_affinities_that_are_being_predicted_are_shown(shown, affinities, raw, tmp_path):
    folder = tmp_path / "predicted"
    folder.mkdir()
    (folder / "plan.json").write_text(json.dumps({"stage": "predict-blocks", "raw": raw}))
    parts = {"voxel_size": SIZE, "offset": (0, 0, 0), "block_shape": (16, 16, 16)}
    volume = SharedVolume(str(folder / "affinities.zarr"), (3, 32, 32, 32), np.uint8, **parts)
    volume.create()
    values = np.random.default_rng(0).integers(1, 255, (3, 16, 16, 16), dtype=np.uint8)
    volume[0:16, 0:16, 0:16] = values
    pipeline.view(str(folder))
    assert names(shown) == ["raw", "affinities"]
    layer = shown.layers[1]
    assert layer.changing
    assert layer.visible, "there is nothing else to see"
    np.testing.assert_array_equal(layer.data[0:3, 0:16, 0:16, 0:16], values)
    assert not layer.data[0:3, 16:32, 0:32, 0:32].any()
    (folder / "plan.json").write_text("{}")
    with pytest.raises(InputError, match="give --voxel-size, or --raw"):
        pipeline.view(str(folder))
    with pytest.raises(InputError, match="affinities is not whole"):
        pipeline.report(str(folder))


def test_a_folder_without_anything_to_look_at_is_told(shown, in_blocks):
    for name in ("fragments", "segmentation"):
        shutil.rmtree(in_blocks / f"{name}.zarr")
    (in_blocks / "plan.json").write_text("{}")
    with pytest.raises(InputError, match="holds nothing to look at"):
        pipeline.view(str(in_blocks))


def test_a_merge_tree_needs_its_fragments(shown, raw, expected):
    with pytest.raises(InputError, match="give --fragments"):
        pipeline.view(raw, merge_tree=str(expected / "merge_tree.h5"))


def test_the_view_is_kept_in_a_file_and_begins_as_that_says(shown, raw, tmp_path):
    file = tmp_path / "state.json"
    pipeline.view(raw, state=str(file))
    assert not file.exists(), "nothing has changed yet"
    kept = {
        "layers": [{"name": "raw", "source": "zarr3://http://127.0.0.1:7/clew/abc/zarr/raw/"}],
        "position": [1, 2, 3],
    }
    shown.viewer.clew.keep(json.dumps(kept))
    assert json.loads(file.read_text()) == kept
    for text in (json.dumps(kept), "http://127.0.0.1:7/v/abc/#!" + quote(json.dumps(kept))):
        file.write_text(text)
        pipeline.view(raw, state=str(file))
        assert shown.viewer.clew.state["position"] == [1, 2, 3]
        assert "/clew/token/zarr/raw/" in shown.viewer.clew.state["layers"][0]["source"], (
            "the address is that of this viewer"
        )
    file.write_text("[1]")
    with pytest.raises(InputError, match="no state of the viewer"):
        pipeline.view(raw, state=str(file))
    assert file.read_text() == "[1]", "another's file is not written over"


def test_the_errors_of_evaluate_are_shown_at_their_threshold(shown, expected, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(expected, run)
    same = {"segments": [1, 7], "objects": [2**60]}
    rows = [
        {"rank": rank, "kind": kind, "bits": 0.5 / rank, "position_nm": [8.0 * rank, 16, 24]} | same
        for rank, kind in ((1, "split"), (2, "merge"), (3, "split"))
    ]
    (run / "errors.json").write_text(json.dumps({"errors": rows, "threshold": 0.37}))
    pipeline.view(str(run))
    assert [(marks.name, len(marks.marks)) for marks in shown.marks] == [("merges", 1), ("splits", 2)]
    assert shown.threshold == 0.37
    last = shown.marks[1].marks[1]
    assert list(last.position) == [24, 16, 24]
    assert last.text == f"split 3, 0.1667 bits: segments 1, 7; objects {2**60}"
    assert (shown.position, list(shown.selected)) == (None, [])
    pipeline.view(str(run), threshold=0.2, error=3)
    assert shown.threshold == 0.2
    assert shown.position == [3, 2, 3], "the voxel of the place in nm"
    assert list(shown.selected) == [1, 7]
    with pytest.raises(InputError, match="lists 3 errors, and 4"):
        pipeline.view(str(run), error=4)
    with pytest.raises(InputError, match="give --errors, too"):
        pipeline.view(str(expected), error=1)


@pytest.mark.parametrize(("text", "message"), [("[]", "JSON object"), ("{}", "lacks 'errors'"),
                                               ('{"errors": [{"kind": "split"}]}', "lacks 'position_nm'")])  # fmt: skip
def test_what_is_no_list_of_errors_is_told(shown, raw, tmp_path, text, message):
    (tmp_path / "errors.json").write_text(text)
    with pytest.raises(InputError, match=message):
        pipeline.view(raw, errors=str(tmp_path / "errors.json"))
