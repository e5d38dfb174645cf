"""`clew proofread` as it is typed: what is refused, and what outlives the process."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import clew
from clew import pipeline
from clew.view.graphene import FRAGMENT
from command_line import run as typed


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two fragments that are apart."""
    affinities = np.full((3, 6, 6, 12), 255, np.uint8)
    affinities[2, :, :, 6] = 0
    clew.save_volume(tmp_path / "affinities.zarr", affinities, voxel_size=(8, 8, 8))
    pipeline.segment(str(tmp_path / "affinities.zarr"), str(tmp_path / "run"), threshold=0.5)
    return tmp_path / "run"


@contextmanager
def served(run: Path):
    """The process that serves a run, and the address below which it answers."""
    process = subprocess.Popen(
        [Path(sys.executable).with_name("clew"), "proofread", run], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    address = next(line for line in process.stdout if line.startswith("open ")).split()[1]
    try:
        yield process, address.rstrip("/").replace("/v/", "/clew/")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def ask(url: str, document: object = None):
    body = None if document is None else json.dumps(document).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as answer:
        return json.load(answer)


def test_one_line_for_what_is_in_use_and_nothing_lost_by_a_kill(run: Path, capsys: pytest.CaptureFixture[str]):
    one, other = np.unique(clew.open_volume(run / "fragments.zarr")[:]).tolist()
    table = "/segmentation/api/v1/table/segments"
    points = [[str(FRAGMENT | fragment), x * 8, 24, 24] for fragment, x in ((one, 2), (other, 9))]
    with served(run) as (process, address):
        ask(f"{address}{table}/merge", points)
        capsys.readouterr()
        port = address.split(":")[2].split("/")[0]
        looking = ("--read-only", "--port", port)
        for options, words in (((), f"process {process.pid} on "), (looking, f"port {port} cannot be used")):
            assert typed("proofread", run, *options) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert words in line
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with served(run) as (_, address):
        roots = {ask(f"{address}{table}/node/{FRAGMENT | fragment}/root")["root_id"] for fragment in (one, other)}
        assert len(roots) == 1
