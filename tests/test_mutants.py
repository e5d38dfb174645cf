"""The search for faults that no test notices: `benchmarks/mutants.py`."""

from pathlib import Path

import pytest
from benchmarks import mutants


@pytest.mark.compiled
def test_a_mutant_is_caught_by_name_and_not_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tests = ["tests/kernels/test_relabel_kernels.py::test_cut_follows_parents_above_the_limit"]
    cut = "levels[place] > limit", "levels[place] >= limit", "merges of just the limit count"
    harmless = "Cut a merge tree at a score, and", "Cut a merge tree, and", "another docstring"
    broken, sound = (mutants.Mutant("kernels/merge_tree.py", *change, tests, False) for change in (cut, harmless))
    assert mutants.try_all([broken, sound], tmp_path) == [*tests, None]
    assert "| another docstring | **survives** |" in capsys.readouterr().out
    assert mutants.try_all([broken._replace(tests=["no test"])], tmp_path) == tests


def test_a_table_that_does_not_fit_is_not_silent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    outdated = mutants.Mutant("kernels/merge_tree.py", "no such text", "", "nothing", [], False)
    moved = outdated._replace(file="kernels/no_such_file.py")
    assert mutants.try_all([outdated, moved], tmp_path) == [None, None]
    assert capsys.readouterr().out.count("mend the table") == 2
    monkeypatch.setattr(mutants, "read_tables", lambda: [outdated, moved])
    with pytest.raises(SystemExit, match="True"):
        mutants.main(["--outdated"])
    assert capsys.readouterr().out.count("no such text") == 2
