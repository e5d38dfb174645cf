"""Exports are byte for byte what they were: a change that others notice is seen here first."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from golden_exports import KEPT, MADE_BY, kept, plain, write_exports, write_inputs

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
PINNED = dict(re.findall(r"^([\w-]+)==(\S+)$", CONSTRAINTS.read_text().lower(), re.M))
OTHER = [name for name in MADE_BY if version(name) != PINNED[name.lower()]]


@pytest.mark.skipif(bool(OTHER), reason=f"bytes depend on versions: other ones of {', '.join(OTHER)}")
@pytest.mark.usefixtures("in_this_process")
def test_exports_are_those_that_are_kept(tmp_path: Path):
    write_inputs(tmp_path / "inputs")
    found, wanted = write_exports(tmp_path / "inputs", tmp_path / "exports"), kept()
    again = "if that is meant: PYTHONPATH=tests python tests/golden_exports.py"
    assert sorted(found) == sorted(wanted), f"other files; {again}"
    changed = [name for name in found if plain(name, found[name]) != plain(name, wanted[name])]
    assert not changed, f"other content of {changed}; {again}"


def test_what_is_kept_is_small():
    assert KEPT.stat().st_size < 200_000
