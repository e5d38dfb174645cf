"""The lines of the table of segments."""

import numpy as np

from clew.export.segment_table import segment_rows
from clew.export.table_lines import COLUMNS, nuclei_of_segments, shared_voxels, table_lines

LABELS = np.array([[[1, 1, 2, 2, 2, 0]], [[1, 0, 2, 2, 2, 2]]], np.uint64)


def test_a_row_says_where_and_how_large_a_segment_is():
    lines = table_lines(segment_rows(LABELS), (40, 10, 10), (400, 0, 100), {2: 'the "large", one'}, {2: [7, 9]})
    one, two = ({name: str(value) for name, value in zip(COLUMNS, line, strict=True)} for line in lines)
    assert (one["id"], one["name"], one["voxels"], one["nuclei"]) == ("1", "", "3", "")
    assert (two["id"], two["name"], two["voxels"], two["volume_um3"], two["nuclei"]) == (
        "2",
        'the "large", one',
        "7",
        "2.8e-05",
        "7;9",
    )
    assert [two[name] for name in ("z", "y", "x", "z_um", "y_um", "x_um")] == [
        "1",
        "0",
        "4",
        "0.4400",
        "0.0000",
        "0.1400",
    ]
    assert [two[name] for name in ("box_z", "box_x", "box_depth", "box_width")] == ["0", "2", "2", "4"]


def test_a_nucleus_lies_where_most_of_it_is():
    nuclei = np.array([[[5, 5, 5, 6, 6, 6]], [[0, 5, 6, 6, 8, 0]]], np.uint64)
    whole = nuclei_of_segments([shared_voxels(LABELS, nuclei)])
    assert whole == {1: [5], 2: [6, 8]}
    assert nuclei_of_segments([shared_voxels(LABELS[:1], nuclei[:1]), shared_voxels(LABELS[1:], nuclei[1:])]) == whole
