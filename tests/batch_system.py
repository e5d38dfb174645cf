"""A batch system that starts each job at once, on this machine, under the names of the programs of SLURM and LSF."""

import os
from pathlib import Path

import pytest

START = """setsid sh {folder}/job-$$.sh > {folder}/log 2>&1 &
echo $! >> {folder}/jobs
"""
CANCEL = """#!/bin/sh
kill -- -"$1"
"""
PROGRAMS = {
    "sbatch": f'#!/bin/sh\ncp "$1" {{folder}}/job-$$.sh\n{START}echo "Submitted batch job $!"\n',
    "bsub": f'#!/bin/sh\ncat > {{folder}}/job-$$.sh\n{START}echo "Job <$!> is submitted to queue <cpu>."\n',
    "srun": '#!/bin/bash\n"$@"\n',
    "scancel": CANCEL,
    "bkill": CANCEL,
}


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put these programs on the path; return the file where they note the numbers of their jobs."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(text.format(folder=programs))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return programs / "jobs"
