"""Where compiled kernels are kept, and that no place for them is no reason not to start."""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import clew
from clew.kernels._jit import SHARED, private_folder

WITHOUT_LOCATORS = """
from numba.core import caching
for name in ("InTreeCacheLocator", "UserWideCacheLocator"):
    locator = getattr(caching, name, None) or getattr(caching, f"_{name}")  # private in numba 0.61
    locator.from_function = lambda *given: None
"""
READ_ONLY = """
from numba.core import caching
caching.InTreeCacheLocator.from_function = lambda *given: None
"""
CALL = """
import numpy as np
from clew.kernels.quantise import quantise_values
print(quantise_values(np.full(8, 2, np.float32), np.empty(8, np.uint8)))
"""
FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
"""
pytestmark = pytest.mark.compiled


def start(code: str, temporary: Path, **variables: str) -> "subprocess.Popen[str]":
    source = str(Path(clew.__file__).parents[1])
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": source, **variables}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)


def finish(process: "subprocess.Popen[str]") -> str:
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return printed.strip()


def test_two_processes_share_a_folder_that_is_theirs_alone(tmp_path: Path):
    processes = [start(WITHOUT_LOCATORS + CALL, tmp_path) for _ in range(2)]
    assert [finish(process) for process in processes] == ["8", "8"]
    (folder,) = tmp_path.glob("clew-kernels-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.rglob("*.nbc"))


def test_kernels_of_a_package_that_cannot_be_written_are_kept_in_the_home_folder(tmp_path: Path):
    def hits_and_misses() -> str:
        return finish(start(READ_ONLY + COUNT_HITS, tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache")))

    assert hits_and_misses() == "0 1"
    assert hits_and_misses() == "1 0"
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize("way", ["open to all", "link", "file"])
def test_a_folder_of_others_is_not_used(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / f"clew-kernels-{os.getuid()}"
    assert private_folder() == str(folder)
    folder.rmdir()
    if way == "open to all":
        folder.mkdir()
        folder.chmod(0o777)
    elif way == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.touch()
    assert private_folder() is None


def test_without_any_folder_kernels_are_compiled_each_time(tmp_path: Path):
    (tmp_path / f"clew-kernels-{os.getuid()}").touch()
    assert finish(start(WITHOUT_LOCATORS + CALL, tmp_path)) == "8"
    assert not list(tmp_path.rglob("*.nb?"))


def test_kernels_work_where_the_disk_of_the_cache_is_full(tmp_path: Path):
    assert finish(start(FULL_DISK + CALL, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache"))) == "8"


TWO_KINDS = """
import numpy as np
from clew.kernels.quantise import quantise_values
for kind in (np.float32, np.float64):
    assert quantise_values(np.full(8, 2, kind), np.empty(8, np.uint8)) == 8
print(sum(quantise_values.stats.cache_hits.values()), sum(quantise_values.stats.cache_misses.values()))
"""
COUNT_HITS = """
import numpy as np
from clew.kernels import relabel
relabel.positions_of(np.arange(1, 9, dtype=np.uint64), np.arange(1, 9, dtype=np.uint64))
print(sum(relabel._search.stats.cache_hits.values()), sum(relabel._search.stats.cache_misses.values()))
"""


def test_a_kernel_whose_shared_helper_changed_is_compiled_anew(tmp_path: Path):
    """Numba itself would go on with the old one: it looks at the file of the kernel only."""
    shutil.copytree(Path(clew.__file__).parent, tmp_path / "clew", ignore=shutil.ignore_patterns("__pycache__", "*.pt"))

    def hits_and_misses() -> str:
        return finish(start(COUNT_HITS, tmp_path, PYTHONPATH=str(tmp_path)))

    assert hits_and_misses() == "0 1"
    assert hits_and_misses() == "1 0"
    helper = tmp_path / "clew" / "kernels" / "_table.py"
    kept = sorted(path.name for path in tmp_path.rglob("*.nb?"))
    helper.write_text(helper.read_text().replace("_SHIFT = 33", "_SHIFT = 31"))
    assert hits_and_misses() == "0 1"
    assert sorted(path.name for path in tmp_path.rglob("*.nb?")) == kept, (
        "what was compiled before is replaced, not kept"
    )


def test_what_two_processes_wrote_into_each_others_files_is_compiled_anew(tmp_path: Path):
    """Both found no file, chose the same name, and one wrote the index and the other the file: numba would run it."""

    def hits_and_misses() -> str:
        return finish(start(TWO_KINDS, tmp_path, NUMBA_CACHE_DIR=str(tmp_path)))

    assert hits_and_misses() == "0 2"
    assert hits_and_misses() == "2 0"
    one, other = sorted(tmp_path.rglob("quantise.quantise_values*.nbc"))
    of_one, of_other = one.read_bytes(), other.read_bytes()
    one.write_bytes(of_other)
    other.write_bytes(of_one)
    assert hits_and_misses() == "0 2"
    assert hits_and_misses() == "2 0"


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_cache_is_replaced(tmp_path: Path, kind: str):
    def hits_and_misses() -> str:
        return finish(start(COUNT_HITS, tmp_path, NUMBA_CACHE_DIR=str(tmp_path)))

    assert hits_and_misses() == "0 1"
    for path in tmp_path.rglob(f"relabel._search*.{kind}"):
        path.write_bytes(path.read_bytes()[:-20])
    assert hits_and_misses() == "0 1"
    assert hits_and_misses() == "1 0"


def test_files_that_kernels_share_are_named():
    folder = Path(clew.__file__).parent / "kernels"
    imported = {
        f"{node.module.rpartition('.')[2]}.py"
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("clew.kernels.")
    }
    assert imported == set(SHARED)
