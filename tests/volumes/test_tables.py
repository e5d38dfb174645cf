"""Tables of columns."""

import random

import h5py
import numpy as np
import pytest

from clew.errors import InputError
from clew.volumes import load_table, save_table
from clew.volumes.tables import LongColumn

COLUMNS = {
    "fragments": np.array([1, 7, 2**63 + 5], np.uint64),
    "edges": np.array([[1, 7], [7, 2**63 + 5]], np.uint64),
    "scores": np.linspace(0, 1, 5000, dtype=np.float32),
    "none": np.zeros((0, 2), np.uint64),
    "flags": np.array([True, False]),
}


def test_round_trip(tmp_path):
    save_table(tmp_path / "a.h5", COLUMNS, {"score": "mean", "n": np.int64(3)}, kind="region graph")
    table = load_table(tmp_path / "a.h5", kind="region graph", columns=list(COLUMNS))
    assert set(table.columns) == set(COLUMNS)
    for name, column in COLUMNS.items():
        assert table[name].dtype == column.dtype
        np.testing.assert_array_equal(table[name], column)
    assert (table.attributes["score"], table.attributes["n"], table.kind) == ("mean", 3, "region graph")
    assert "version" in table.attributes
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["edges"][()], COLUMNS["edges"])


@pytest.mark.parametrize("rows", [1, 700, 5000])
def test_columns_some_rows_at_a_time_are_those_of_arrays(tmp_path, rows):
    def in_parts(column):
        return LongColumn(
            column.dtype, column.shape, lambda: (column[at : at + rows] for at in range(0, len(column), rows))
        )

    save_table(tmp_path / "a.h5", COLUMNS)
    save_table(tmp_path / "b.h5", {name: in_parts(column) for name, column in COLUMNS.items()})
    whole, parts = (load_table(tmp_path / name) for name in ("a.h5", "b.h5"))
    for name, column in COLUMNS.items():
        assert parts[name].dtype == column.dtype
        np.testing.assert_array_equal(parts[name], column)
    assert parts.attributes["id"] == whole.attributes["id"]


def test_existing_table_is_kept_unless_overwrite(tmp_path):
    save_table(tmp_path / "a.h5", {"x": np.arange(3)})
    with pytest.raises(InputError, match=r"exists already.*--overwrite"):
        save_table(tmp_path / "a.h5", {"x": np.arange(4)})
    with pytest.raises(InputError, match="column y holds"):
        save_table(tmp_path / "a.h5", {"x": np.arange(4), "y": np.array(["a"])}, overwrite=True)
    assert len(load_table(tmp_path / "a.h5")["x"]) == 3
    save_table(tmp_path / "a.h5", {"x": np.arange(4)}, overwrite=True)
    assert len(load_table(tmp_path / "a.h5")["x"]) == 4
    assert [file.name for file in tmp_path.iterdir()] == ["a.h5"]
    with pytest.raises(InputError, match=r"end its name in \.h5"):
        save_table(tmp_path / "a.csv", {"x": np.arange(4)})


def test_other_files_are_refused(tmp_path):
    save_table(tmp_path / "tree.h5", {"merges": np.arange(3)}, kind="merge tree")
    with pytest.raises(InputError, match=r"tree\.h5 holds a merge tree; wanted a region graph"):
        load_table(tmp_path / "tree.h5", kind="region graph")
    with pytest.raises(InputError, match="lacks the columns scores, sizes"):
        load_table(tmp_path / "tree.h5", kind="merge tree", columns=["merges", "scores", "sizes"])
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = np.arange(3)
    with pytest.raises(InputError, match=r"foreign\.h5 is not a table written by clew; wanted a merge tree"):
        load_table(tmp_path / "foreign.h5", kind="merge tree")
    (tmp_path / "words.h5").write_text("no table")
    with pytest.raises(InputError, match=r"words\.h5 cannot be read as HDF5"):
        load_table(tmp_path / "words.h5")
    with pytest.raises(InputError, match=r"there is no file .*none\.h5"):
        load_table(tmp_path / "none.h5")
    whole = (tmp_path / "tree.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.h5 is damaged"):
        load_table(tmp_path / "cut.h5")


def test_a_flipped_bit_is_never_read(tmp_path):
    save_table(tmp_path / "a.h5", {**COLUMNS, "few": np.arange(3)}, {"score": "mean"}, kind="merge tree")
    whole = (tmp_path / "a.h5").read_bytes()
    anywhere = random.Random(0).sample(range(8 * len(whole)), 150)
    for bit in [*range(0, 8 * 60, 7), *anywhere]:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / "a.h5").write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.h5 is damaged"):
            load_table(tmp_path / "a.h5")


def test_tables_of_earlier_versions_are_read_without_a_checksum(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["sizes"] = np.arange(3)
        file.attrs["clew_table"] = "merge tree"
        file.attrs["clew"] = '{"score": "mean"}'
    table = load_table(tmp_path / "a.h5", kind="merge tree", columns=["sizes"])
    np.testing.assert_array_equal(table["sizes"], np.arange(3))
    assert table.attributes == {"score": "mean"}
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file.attrs["clew"]
    with pytest.raises(InputError, match=r"a\.h5 is damaged"):
        load_table(tmp_path / "a.h5")
