"""The folder beside a checkpoint after a full disk."""

from clew.stages.declaration import Record
from clew.stages.run_folder import LOG_COLUMNS, RunFolder


def test_a_row_that_a_full_disk_cut_off_is_forgotten(tmp_path):
    log = tmp_path / "network.training" / "log.csv"
    log.parent.mkdir()
    header = ",".join(LOG_COLUMNS)
    whole = ",".join(["0", *("0.25" for _ in LOG_COLUMNS[1:])])
    log.write_text(f"{header}\n{whole}\n{whole[:-20]}")
    RunFolder(tmp_path / "network.pt", Record(parameters={}), overwrite=False, tensorboard=False).begin()
    assert log.read_text().splitlines() == [header, whole]
