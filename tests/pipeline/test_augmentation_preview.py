"""The contact sheet of augmentations through the pipeline."""

import dataclasses
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clew import pipeline
from clew.errors import InputError
from clew.training.options import NO_AUGMENTATION

AUGMENT = import_module("clew.pipeline.augment")

SERIAL = {"serial_sections": True, "transpose": "in-plane", "elastic_jitter": (0, 2, 2)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("annotated")
    pipeline.synthesize(str(folder / "raw.zarr"), str(folder / "labels.zarr"), shape=(20, 40, 48))
    return f"{folder}/raw.zarr,{folder}/labels.zarr"


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the sheet was made of."""
    made: list[Any] = []
    draw = AUGMENT.contact_sheet
    monkeypatch.setattr(AUGMENT, "contact_sheet", lambda rows: made.extend(rows) or draw(rows))
    return made


def test_a_row_for_each_augmentation_of_isotropic_data(data: str, rows: list[Any], tmp_path: Path):
    pipeline.augment(data, preview=str(tmp_path / "sheet.png"), crop=(16, 24, 24))
    assert [row.name for row in rows] == [name for name in AUGMENT.AUGMENTATIONS if "sections" not in name]
    for row in rows:
        assert row.captions[0] == "as it is"
        np.testing.assert_array_equal(row.raw[0], rows[0].raw[0])
        assert {picture.shape for picture in (*row.raw, *row.labels)} == {(24, 24)}
        changed = [not np.array_equal(picture, row.raw[0]) for picture in row.raw[1:]]
        assert sum(changed) >= 3
        moved = [not np.array_equal(picture, row.labels[0]) for picture in row.labels[1:]]
        assert any(moved) == (row.name in ("mirror", "transpose", "rotate", "scaling", "elastic"))
    with Image.open(tmp_path / "sheet.png") as image:
        assert min(image.size) > 300


def test_defects_of_serial_sections_are_drawn_section_by_section(data: str, rows: list[Any], tmp_path: Path):
    pipeline.augment(data, preview=str(tmp_path / "sheet.png"), crop=(16, 24, 24), **SERIAL, missing_sections=0)
    by_name = {row.name: row for row in rows}
    assert by_name.keys() == AUGMENT.AUGMENTATIONS.keys() - {"missing sections"}
    for name in ("intensity scale", "faint sections", "shifted sections"):
        assert by_name[name].captions == [f"section {z}" for z in range(6, 11)]
    moved = {name for name, row in by_name.items() if name.endswith("sections") and any(
        not np.array_equal(a, b) for a, b in zip(row.labels, by_name["faint sections"].labels, strict=True))}  # fmt: skip
    assert moved == {"slipped sections", "shifted sections"}


def test_bad_previews_are_refused(data: str, tmp_path: Path):
    sheet = tmp_path / "sheet.png"
    with pytest.raises(InputError, match="PNG file"):
        pipeline.augment(data, preview=str(tmp_path / "sheet.jpg"))
    off = dataclasses.asdict(NO_AUGMENTATION)
    with pytest.raises(InputError, match="no augmentation is on"):
        pipeline.augment(data, preview=str(sheet), crop=(16, 24, 24), **off)
    assert not list(tmp_path.iterdir())
    sheet.touch()
    with pytest.raises(InputError, match="exists already"):
        pipeline.augment(data, preview=str(sheet))
