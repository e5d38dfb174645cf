"""`clew view` before its server starts: what is opened, and what is said about it."""

import numpy as np
import pytest

from clew import pipeline
from clew.view import neuroglancer
from clew.volumes.save import save_volume

SIZE = (40.0, 8.0, 4.0)


@pytest.fixture
def shown(monkeypatch):
    """The layers that would be shown."""
    layers = []

    class Viewer:
        get_viewer_url = "http://127.0.0.1".__str__

    monkeypatch.setattr(neuroglancer, "view", lambda given, **options: layers.extend(given) or Viewer())
    monkeypatch.setattr(neuroglancer, "wait", lambda viewer: None)
    return layers


@pytest.mark.parametrize(("offset", "apart"), [((0, 0, 0), False), ((120, 0, 0), False), ((160, 0, 0), True),
                                               ((0, -64, 0), True)])  # fmt: skip
def test_layers_that_share_no_place_are_told(shown, tmp_path, capsys, offset, apart):
    raw, labels = str(tmp_path / "raw.zarr"), str(tmp_path / "labels.zarr")
    save_volume(raw, np.zeros((4, 8, 8), np.uint8), voxel_size=SIZE)
    save_volume(labels, np.ones((4, 8, 8), np.uint64), voxel_size=SIZE, offset=offset)
    pipeline.view(raw, segmentation=labels)
    assert [layer.name for layer in shown] == ["raw", "segmentation"]
    assert ("share no place" in capsys.readouterr().err) == apart
