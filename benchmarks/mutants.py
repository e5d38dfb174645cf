"""Break the package in one small place at a time, and see which test notices: `python -m benchmarks.mutants kernels/border`.

Each table in `benchmarks/mutations/` is a package. For a file it lists the tests that belong to it, and the mutants: a
text that stands there once, what replaces it, and what a careless person would have done. Texts under `same` change
nothing that a test could see; why is said beside them. The tests run on a copy of the package, with the kernels as plain
Python unless the table says `compiled`, and with fixed examples, so that a run can be repeated. What was caught is noted
in the folder and not tried again while the file stays as it is; a mutant that survived is.
"""

import argparse
import hashlib
import importlib
import json
import multiprocessing
import os
import shutil
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
TABLES = Path(__file__).parent / "mutations"
PRELOADED = ["pytest", "hypothesis", "scipy.ndimage", "numba", "torch"]
SECONDS = 200
"""Tests that have not come to an end by then have noticed something too."""


class Mutant(NamedTuple):
    """One change of one file, and how it is tried: the tests, and whether the kernels have to be compiled."""

    file: str
    text: str
    replacement: str
    meaning: str
    tests: list[str]
    compiled: bool

    def source(self) -> str | None:
        """The whole file, changed; None where the text does not stand there once, so that the table has to be mended."""
        path = ROOT / "src" / "clew" / self.file
        source = path.read_text() if path.exists() else ""
        return source.replace(self.text, self.replacement) if source.count(self.text) == 1 else None


def main(arguments: list[str] | None = None) -> None:
    """Try the mutants of the files named, all by default; exit code 1 if one survives."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__)
    parser.add_argument("files", nargs="*", help="beginnings of their names in the package, such as kernels/border")
    parser.add_argument("--folder", type=Path, default=Path("build/mutants"), help="notes and the copy (%(default)s)")
    parser.add_argument("--outdated", action="store_true", help="only list texts that the package no longer holds")
    given = parser.parse_args(arguments)
    mutants = [mutant for mutant in read_tables() if mutant.file.startswith(tuple(given.files) or "")]
    if given.outdated:
        outdated = [mutant for mutant in mutants if mutant.source() is None]
        print("\n".join(f"{mutant.file}: {mutant.text}" for mutant in outdated))
        raise SystemExit(bool(outdated))
    outcomes = try_all(mutants, given.folder)
    print(f"{sum(by is not None for by in outcomes)} of {len(outcomes)} mutants caught")
    raise SystemExit(None in outcomes)


def read_tables() -> Iterator[Mutant]:
    """All mutants of all tables."""
    for table in sorted(TABLES.glob("*.toml")):
        for file, entry in tomllib.loads(table.read_text()).items():
            for text, replacement, meaning in entry["mutants"]:
                yield Mutant(file, text, replacement, meaning, entry["tests"], entry.get("compiled", False))


def try_all(mutants: list[Mutant], folder: Path) -> list[str | None]:
    """Try each mutant that was not caught before and print a row about it; returns the test that caught each, or None."""
    notes = folder / "caught.json"
    caught: dict[str, str] = json.loads(notes.read_text()) if notes.exists() else {}
    package = folder.resolve() / "package"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(ROOT / "src", package, ignore=shutil.ignore_patterns("__pycache__"))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    sound: set[tuple[str, ...]] = set()
    outcomes: list[str | None] = []
    for mutant in mutants:
        source, start = mutant.source(), time.perf_counter()
        key = hashlib.sha256(f"{mutant.file}{source}".encode()).hexdigest()
        if source is not None and key not in caught:
            _check_sound(context, package, mutant, sound)
            by = _try(context, package, mutant, source)
            if by is not None:
                caught[key] = by
                notes.write_text(json.dumps(caught, indent=1))
        outcomes.append(caught.get(key))
        shown = outcomes[-1] or ("**survives**" if source else "**its text does not stand there once: mend the table**")
        print(f"| {mutant.file} | {mutant.meaning} | {shown} | {time.perf_counter() - start:.0f} s |", flush=True)
    return outcomes


def _check_sound(context: Any, package: Path, mutant: Mutant, sound: set[tuple[str, ...]]) -> None:
    """Make sure, once for each list of tests, that they pass while nothing is broken."""
    if tuple(mutant.tests) not in sound:
        by = _first_failure(context, package, mutant)
        if by is not None:
            raise SystemExit(f"{by} fails on the package as it is; see {package.parent / 'log'}")
        sound.add(tuple(mutant.tests))


def _try(context: Any, package: Path, mutant: Mutant, source: str) -> str | None:
    """Change the copy, run the tests, change it back; the times of the file stay true for the cache of kernels."""
    path = package / "clew" / mutant.file
    path.write_text(source)
    try:
        return _first_failure(context, package, mutant)
    finally:
        shutil.copy2(ROOT / "src" / "clew" / mutant.file, path)


def _first_failure(context: Any, package: Path, mutant: Mutant) -> str | None:
    """Name of the first test that fails on the copy, or how it went down."""
    name = package.parent / "failed"
    name.unlink(missing_ok=True)
    process = context.Process(target=_run_tests, args=(package, mutant.tests, mutant.compiled, name))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        return f"no end after {SECONDS} s"
    if process.exitcode == 0:
        return None
    return name.read_text() if name.exists() else f"the process went down with {process.exitcode}"


def _run_tests(package: Path, tests: list[str], compiled: bool, name: Path) -> None:
    """In a process of its own: run the tests on the copy, note the first that fails."""
    os.environ["NUMBA_DISABLE_JIT"] = "0" if compiled else "1"
    os.environ["NUMBA_CACHE_DIR"] = str(package.parent / "kernels")
    importlib.import_module("numba").config.reload_config()
    sys.path.insert(0, str(package))
    for module in [name for name in sys.modules if name.partition(".")[0] == "clew"]:
        del sys.modules[module]  # of the package as it is, where the server of processes was begun by somebody else
    sys.dont_write_bytecode = True
    with (name.parent / "log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.chdir(ROOT)
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests]
    os._exit(importlib.import_module("pytest").main(arguments, plugins=[_Noted(name)]))


class _Noted:
    """Plugin of pytest: notes the test that fails, and spares the search for its smallest example.

    As many examples as with compiled kernels are tried, whether they are or not.
    """

    def __init__(self, name: Path) -> None:
        self.name = name

    def pytest_sessionstart(self) -> None:
        hypothesis = importlib.import_module("hypothesis")
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        usual = hypothesis.settings.get_profile("default")
        hypothesis.settings.register_profile("mutants", usual, phases=phases, database=None)
        hypothesis.settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.name.write_text(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.name.write_text(f"{report.nodeid} (cannot be collected)")


if __name__ == "__main__":
    main()
