"""The table of ways to predict runs on a volume far too small to say anything, and goes on where it was."""

from pathlib import Path

import numpy as np
import pytest
from benchmarks import ways_to_predict
from benchmarks.study.folds import ISOTROPIC, Fold
from benchmarks.study.folds import Test as Tissue
from benchmarks.ways_to_predict import REFERENCE, main

from clew.network.options import PredictionOptions

SHAPE = (24, 72, 72)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[PredictionOptions]:
    _, y, x = np.indices(SHAPE)
    truth = (1 + y // 12 + 6 * (x // 12)).astype(np.uint64)
    test = Tissue("columns", np.zeros(SHAPE, np.uint8), slice(0, 24), truth, (10.0, 10.0, 10.0))
    asked: list[PredictionOptions] = []

    def predict(network: object, raw: np.ndarray, *, options: PredictionOptions, **_: object) -> np.ndarray:
        """Pieces of neurons between weak walls, a little weaker in bfloat16."""
        asked.append(options)
        affinities = np.full((3, *SHAPE), 250, np.uint8)
        for axis, channel in enumerate(affinities):
            walls = channel[(slice(None),) * axis + (slice(None, None, 12 if axis else 6),)]
            walls[:] = np.random.default_rng(axis).integers(20, 200, walls.shape) - 3 * (
                options.precision == "bfloat16"
            )
        return affinities

    monkeypatch.setattr(ways_to_predict, "read_folds", lambda folder: [Fold(ISOTROPIC, "a", [], [test])])
    monkeypatch.setattr(ways_to_predict, "predict_affinities", predict)
    monkeypatch.setattr(ways_to_predict, "REPEATS", 20)
    return asked


@pytest.mark.compiled
def test_each_way_stands_beside_float32(
    calls: list[PredictionOptions], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    call = ["--data", str(tmp_path), "--keep", str(tmp_path / "keep"), "--test", "columns", "--ways", "bfloat16"]
    main(call)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == [REFERENCE, "bfloat16"] * 3
    reference, other = rows[:2]
    assert (reference[2], other[2].split(",")[0]) == ("0.00, 0, 0", "0.33")  # 3 × the mean of 1/6, 1/12, 1/12
    assert "+0.0000 to +0.0000" in reference[4]
    assert [options.precision for options in calls] == ["float32", "bfloat16"]
    main(call)
    assert len(calls) == 2, "predicted again"
