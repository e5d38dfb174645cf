"""Hundreds of damaged inputs every day; `make fuzz` tries thousands."""

from pathlib import Path

import pytest

from fuzz.inputs import SLOW, make_inputs
from fuzz.workers import try_seeds

SEEDS = range(250)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "good"
    make_inputs(folder)
    return folder


@pytest.mark.compiled
def test_damaged_inputs_give_right_values_or_one_clear_line(good: Path, tmp_path: Path):
    findings = [case for case in try_seeds(SEEDS, good, tmp_path, without=SLOW) if case.finding]
    assert not findings, "\n".join(map(str, findings))
