"""The job scripts and tables on the pages about batch systems work, with a batch system that runs jobs on this machine."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest

import clew
from clew import cli, pipeline
from clew.volumes import affinity_attributes

HOW_TO = Path(__file__).parent.parent / "docs" / "how-to"
SCRIPT = re.compile(r"^```bash\n(#!/bin/bash\n.*?)^```$", re.M | re.S)
TABLE = re.compile(r"^```toml\n(.*?)^```$", re.M | re.S)
OFFSETS = [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]
TRAINING = """
[train]
data = ["raw.zarr,truth.zarr"]
checkpoint = "network.pt"
preset = "tiny"
steps = 2
malis_after = 2
crop = [12, 12, 12]
margin = 2
device = "cpu"
"""
SYSTEMS = ("slurm", "lsf")


def script(page: str, number: int) -> str:
    scripts = SCRIPT.findall((HOW_TO / f"{page}.md").read_text())
    assert len(scripts) == 2
    return scripts[number]


def run_job(text: str, home: Path) -> None:
    """Run a job script up to its `clew`, and that here: to start Python takes longer than the rest."""
    activate = home / "clew" / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True, exist_ok=True)
    activate.write_text('clew() { printf \'%s\\n\' "$@" > called; }; export -f clew; exec() { "$@"; }\n')
    Path("job.sh").write_text(text)
    settings = {"HOME": str(home), "SLURM_CPUS_PER_TASK": "1", "LSB_DJOB_NUMPROC": "1"}
    subprocess.run(["bash", "-eu", "job.sh"], env=os.environ | settings, check=True)
    cli.main(Path("called").read_text().splitlines())


def save_affinities() -> None:
    labels = clew.synthesize((16, 24, 24), seed=1).labels
    targets, _ = clew.affinity_targets(labels, OFFSETS)
    attributes = affinity_attributes(OFFSETS, np.uint8)
    clew.save_volume("affinities.zarr", targets.astype(np.uint8) * 255, voxel_size=(8, 8, 8), attributes=attributes)


@pytest.mark.parametrize("page", SYSTEMS)
def test_the_job_that_trains(page: str, jobs: Path, tmp_path: Path):
    pipeline.synthesize("raw.zarr", "truth.zarr", shape=(24, 24, 24), seed=1)
    Path("train.toml").write_text(TRAINING)
    run_job(script(page, 0), tmp_path)
    trained = Path("network.pt").stat().st_mtime_ns
    run_job(script(page, 0), tmp_path)
    assert Path("network.pt").stat().st_mtime_ns == trained, "a second job has nothing to do"


@pytest.mark.parametrize("page", SYSTEMS)
def test_the_job_that_segments(page: str, jobs: Path, tmp_path: Path):
    save_affinities()
    run_job(script(page, 1), tmp_path)
    assert clew.open_volume("blocks/segmentation.zarr").read().any()


@pytest.mark.parametrize("page", SYSTEMS)
def test_jobs_as_workers(page: str, jobs: Path):
    save_affinities()
    text = next(text for text in TABLE.findall((HOW_TO / f"{page}.md").read_text()) if text.startswith("# cpu.toml"))
    text = re.sub(r"(jobs|processes|cores) = \d+", r"\1 = 1", text) + 'interface = "lo"\n'
    assert tomllib.loads(text)["cluster"]["system"] == page
    Path("cpu.toml").write_text(text)
    pipeline.segment_blocks("affinities.zarr", "blocks", threshold=0.5, cluster="cpu.toml")
    assert clew.open_volume("blocks/segmentation.zarr").read().any()
    assert len(jobs.read_text().split()) == 1
