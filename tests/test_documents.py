"""What is in files is checked at one door."""

import json
import os
import threading
from importlib import import_module

import numpy as np
import pytest

from clew import cli
from clew.documents import NESTING, brief, expect, parse_json, read_toml, regular_file
from clew.errors import InputError
from clew.pipeline._identity import _of_files as files_identity
from clew.volumes.formats import chunked
from clew.volumes.open import open_volume
from clew.volumes.save import save_volume


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", "[" * 100_000, '{"a":' * (NESTING + 1) + "1" + "}" * (NESTING + 1), b"\xff"]
)
def test_json_that_is_no_plain_object_is_refused(text):
    with pytest.raises(InputError, match=r"a\.json") as caught:
        parse_json(text, "a.json")
    assert len(str(caught.value)) < 200


def test_nesting_up_to_the_limit_is_read():
    depth = NESTING - 1
    assert parse_json('{"a":' * depth + "1" + "}" * depth, "a.json")


@pytest.mark.parametrize(
    ("wanted", "good", "bad"),
    [
        ("a list of sizes", [0, 5], [[1.0], [True], [-1], [1 << 63], 3, "12", None]),
        ("a list of numbers", [0, 2.5], [[float("nan")], [10**400], ["1"], [True], {}]),
        ("a list of triples", [[1, -2, 3]], [[[1, 2]], [1, 2, 3], [[1, 2, 3.0]]]),
        ("three positive numbers", [1, 2.5, 3], [[1, 2], [0, 1, 1], [1, 2, "3"], None]),
        ("a list of objects or names", ["z", {}], [[None], "zyx", 3]),
        ("a count", 1, [0, True, 1.0]),
    ],
)
def test_values_are_of_their_kind(wanted, good, bad):
    assert expect({"key": good}, "key", wanted, "file") == good
    for value in bad:
        with pytest.raises(InputError, match=f"file: 'key' must be {wanted}, not"):
            expect({"key": value}, "key", wanted, "file")
    with pytest.raises(InputError, match="file lacks 'key'"):
        expect({}, "key", wanted, "file")


def test_long_values_are_cut():
    assert len(brief("x" * 1000)) <= 80
    assert brief(10**5000) == "int"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("nowhere", path)])
def test_only_regular_files_are_read(tmp_path, make):
    make(tmp_path / "run.toml")
    for read in (regular_file, read_toml):
        with pytest.raises(InputError, match="wanted a file"):
            read(tmp_path / "run.toml")


def test_a_pipe_in_the_place_of_a_chunk_does_not_hang(tmp_path, monkeypatch):

    save_volume(tmp_path / "a.zarr", np.ones((4, 4, 4), np.uint8), voxel_size=(8, 8, 8))
    chunk = tmp_path / "a.zarr" / "s0" / "c" / "0" / "0" / "0"
    chunk.unlink()
    os.mkfifo(chunk)
    monkeypatch.setattr(chunked, "PATIENCE", 0.2)
    threading.Timer(5, lambda: os.close(os.open(chunk, os.O_WRONLY | os.O_NONBLOCK))).start()  # lets the reader go on
    with pytest.raises(InputError, match="is a pipe or a socket"):
        open_volume(tmp_path / "a.zarr").read()


def test_a_chunk_larger_than_memory_is_refused(tmp_path):

    save_volume(tmp_path / "a.zarr", np.ones((4, 4, 4), np.uint8), voxel_size=(8, 8, 8))
    file = tmp_path / "a.zarr" / "s0" / "zarr.json"
    document = json.loads(file.read_text())
    document["chunk_grid"]["configuration"]["chunk_shape"] = [1 << 18] * 3
    file.write_text(json.dumps(document))
    with pytest.raises(InputError, match="this machine has"):
        open_volume(tmp_path / "a.zarr")


def test_messages_are_short():
    long = "first line\n" * 3 + "x" * 2000 + " give another name"
    found = cli.shortened(long)
    assert len(found) <= cli.CHARACTERS
    assert len(found.splitlines()) <= cli.LINES
    assert found.endswith("give another name")
    assert cli.shortened("one\ntwo") == "one\ntwo"


def test_an_unforeseen_error_is_one_line(monkeypatch, capsys, tmp_path):
    def fail(*_):
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr(import_module("clew.pipeline.info"), "_rows", fail)
    monkeypatch.delenv(cli.TRACEBACK, raising=False)
    with pytest.raises(SystemExit) as caught:
        cli.main(["info", str(tmp_path)])
    assert caught.value.code == cli.UNFORESEEN
    assert "ZeroDivisionError: a b" in capsys.readouterr().err
    monkeypatch.setenv(cli.TRACEBACK, "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["info", str(tmp_path)])


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_endless_metadata_are_not_read_to_recognise_a_volume(tmp_path, make):
    save_volume(tmp_path / "a.zarr", np.ones((4, 4, 4), np.uint64), voxel_size=(8, 8, 8))
    (tmp_path / "a.zarr" / "zarr.json").unlink()
    make(tmp_path / "a.zarr" / "zarr.json")
    with pytest.raises(InputError, match=r"a\.zarr/zarr\.json is a folder, pipe, device or broken link"):
        files_identity(tmp_path / "a.zarr")
