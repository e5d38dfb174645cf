"""kill -9 of exports: nothing half written opens, and the same command goes on to the same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clew.volumes.save import save_volume
from golden_exports import plain

KILLED = Path(__file__).with_name("killed_exports.py")


def files_of(folder: Path) -> dict[str, Any]:
    """What the files of an export say, without records of times."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(file.relative_to(folder)): plain(file.name, file.read_bytes()) for file in files}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "segmentation.zarr"
    z, y, x = np.indices((6, 24, 150))
    save_volume(path, (1 + z // 4 + 2 * (y // 12) + 4 * (x // 40)).astype(np.uint64), voxel_size=(40, 20, 20))
    return path


@pytest.mark.parametrize(
    ("format", "opener", "more"),
    [("precomputed", "info", {"meshes": True, "skeletons": True}), ("webknossos", "datasource-properties.json", {}),
     ("tiff", "", {}), ("glb", "", {})],
)  # fmt: skip
def test_an_export_that_was_killed_goes_on_to_the_same_bytes(
    source: Path, tmp_path: Path, format: str, opener: str, more: dict[str, bool]
):
    options = json.dumps({"format": format, "detail": 80.0, **more})
    ran = subprocess.run(
        [sys.executable, str(KILLED), str(source), str(tmp_path), options], capture_output=True, text=True,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    wanted, kills = files_of(tmp_path / "whole" / format), [set(json.loads(line)) for line in ran.stdout.splitlines()]
    assert len({len(there) for there in kills}) > 1, "killed at one moment only"
    for number, there in enumerate(kills):
        assert files_of(tmp_path / str(number) / format) == wanted
        opens = f"{format}/{opener}" in there if opener else any(name.startswith(f"{format}/") for name in there)
        assert not opens or {f"{format}/{name}" for name in wanted} <= there, "opens while it is not whole"
