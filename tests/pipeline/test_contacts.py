"""`clew evaluate --region-graph`: the table of contacts, and region graphs of something else."""

import json
from pathlib import Path

import numpy as np
import pytest

from clew import pipeline
from clew.errors import InputError
from clew.segmentation.region_graph import build_region_graph
from clew.volumes.affinities import affinity_attributes
from clew.volumes.save import save_volume

NM = {"voxel_size": (10, 10, 10)}
OFFSETS = [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Fragments of 4 x 8 x 4 voxels, each two of a neuron; contacts inside are of affinity 200 to 215, others of 50."""
    column = np.arange(64) // 4 + 1
    fragments = np.broadcast_to(column, (4, 8, 64)).astype(np.uint64)
    truth = ((fragments + 1) // 2).astype(np.uint64)
    affinities = np.full((3, 4, 8, 64), 255, np.uint8)
    affinities[2, :, :, 8::8], affinities[2, :, :, 4::8] = 50, 200 + np.arange(8)
    save_volume(tmp_path / "fragments.zarr", fragments, **NM)
    save_volume(tmp_path / "truth.zarr", truth, **NM)
    save_volume(tmp_path / "affinities.zarr", affinities, **NM, attributes=affinity_attributes(OFFSETS, np.uint8))
    pipeline.build_region_graph(*(str(tmp_path / name) for name in ("affinities.zarr", "fragments.zarr", "graph.h5")))
    assert len(build_region_graph(affinities, fragments).edges) == 15
    return tmp_path


def evaluate(folder: Path, fragments: str, **options) -> None:
    pipeline.evaluate(str(folder / fragments), str(folder / "truth.zarr"), **options)


def test_contacts_are_compared_with_the_truth(folder: Path, capsys: pytest.CaptureFixture[str]):
    options = {"json": str(folder / "scores.json"), "edge_plot": str(folder / "edges.png")}
    evaluate(folder, "fragments.zarr", region_graph=str(folder / "graph.h5"), **options)
    edges = json.loads((folder / "scores.json").read_text())["edges"]
    assert (edges["contacts"], edges["judged"], edges["small"], edges["mixed"]) == (15, 15, 0, 0)
    mean = next(row for row in edges["scores"] if row["score"] == "mean")
    assert (mean["area"], mean["smallest_error"], mean["low"]) == (1.0, 0.0, None)
    assert 1 - 200 / 255 < mean["best_threshold"] < 1 - 50 / 255
    assert (folder / "edges.png").stat().st_size > 1000
    assert "at least 20 neurons" in capsys.readouterr().out


def test_a_region_graph_of_other_fragments_is_refused(folder: Path):
    other = np.broadcast_to(np.arange(64) // 8 + 1, (4, 8, 64)).astype(np.uint64)
    save_volume(folder / "other.zarr", other, **NM)
    for box in (None, ":,:,8:64"):
        with pytest.raises(InputError, match="region graph of other fragments"):
            evaluate(folder, "other.zarr", region_graph=str(folder / "graph.h5"), box=box)
    with pytest.raises(InputError, match="needs --region-graph"):
        evaluate(folder, "fragments.zarr", edge_plot=str(folder / "edges.png"))
