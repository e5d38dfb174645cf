"""The folder beside a checkpoint: after a full disk, with files of others, and wanted by two trainings."""

from pathlib import Path

import pytest

from clew.errors import InputError
from clew.pipeline._declare import Record
from clew.pipeline._run_folder import LOG_COLUMNS, RunFolder


def test_a_row_that_a_full_disk_cut_off_is_forgotten(tmp_path):
    log = tmp_path / "network.training" / "log.csv"
    log.parent.mkdir()
    header = ",".join(LOG_COLUMNS)
    whole = ",".join(["0", *("0.25" for _ in LOG_COLUMNS[1:])])
    (log.parent / "config.json").write_text('{"parameters": {}}')
    log.write_text(f"{header}\n{whole}\n{whole[:-20]}")
    RunFolder(tmp_path / "network.pt", Record(parameters={}), overwrite=False, tensorboard=False).begin()
    assert log.read_text().splitlines() == [header, whole]


def run_in(folder: Path, *, overwrite: bool = False) -> RunFolder:
    return RunFolder(folder / "network.pt", Record(parameters={"seed": 0}), overwrite=overwrite, tensorboard=False)


def test_a_second_training_on_one_name_is_refused(tmp_path: Path):
    first, second = run_in(tmp_path), run_in(tmp_path, overwrite=True)
    with first.held():
        first.begin()
        with pytest.raises(InputError, match="another run is at work"), second.held():
            pass
    with second.held():
        second.begin()
    assert [path.name for path in (tmp_path / "network.training").iterdir()] == ["config.json"]


def test_overwrite_removes_only_what_training_made(tmp_path: Path):
    folder = tmp_path / "network.training"
    run = run_in(tmp_path)
    run.begin()
    own = ["log.csv", "log.png", "snapshots/step-000002.png", "not-finite-step-000007.npz"]
    others = ["notes.txt", "raw.zarr/s0/c", "snapshots/best.png", "tensorboard/remarks.txt"]
    for name in own + others:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    run_in(tmp_path, overwrite=True).begin()
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left == {"config.json", *others}


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_no_training_made_is_not_written_over(tmp_path: Path, overwrite: bool):
    state = tmp_path / "network.training" / "state.pt"
    state.parent.mkdir()
    state.write_text("of another program")
    with pytest.raises(InputError, match="exists, but no training made it"):
        run_in(tmp_path, overwrite=overwrite)
    assert state.read_text() == "of another program"
