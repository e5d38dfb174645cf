import numpy as np
import pytest
from PIL import Image

from clew.errors import InputError
from clew.view.augmentation import SheetRow, contact_sheet, save_sheet


def row_of(name, pictures):
    raw = [np.full((6, 8), value, np.float32) for value in np.linspace(-1, 1, pictures)]
    return SheetRow(name, [f"picture {number}" for number in range(pictures)], raw, [np.ones((6, 8), int)] * pictures)


def test_each_row_has_its_name_and_raw_above_labels(tmp_path):
    figure = contact_sheet([row_of("one", 2), row_of("two", 3), row_of("three", 3)])
    assert sorted(part._supylabel.get_text() for part in figure.subfigs if part.axes) == ["one", "three", "two"]
    for part in figure.subfigs:
        images = [len(axis.images) for axis in part.axes]
        assert images in ([1, 1, 0, 2, 2, 0], [1, 1, 1, 2, 2, 2], [])
        shown = [axis for axis in part.axes if axis.images]
        assert [axis.get_title() for axis in shown[: len(shown) // 2]] == [
            f"picture {k}" for k in range(len(shown) // 2)
        ]
        assert all(axis.images[0].get_clim() == (-1, 1) for axis in shown)
    save_sheet(figure, tmp_path / "sheet")
    with Image.open(tmp_path / "sheet") as image:
        assert image.format == "PNG"
        assert len(image.getcolors()) <= 128


def test_an_empty_sheet_is_refused():
    with pytest.raises(InputError, match="no augmentation is on"):
        contact_sheet([])
