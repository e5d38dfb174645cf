"""The demo, end to end on a small synthetic volume."""

from importlib import import_module
from pathlib import Path

import pytest

from clew import pipeline
from clew.pipeline import _sample as sample
from clew.volumes.open import open_volume


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import pooch

    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")

    class Unreachable(pooch.HTTPDownloader):
        def __call__(self, *arguments: object, **keywords: object) -> bool:
            raise OSError("no network")

    monkeypatch.setattr(pooch, "HTTPDownloader", Unreachable)


def test_demo_without_network(no_network: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                              capsys: pytest.CaptureFixture):  # fmt: skip
    monkeypatch.setattr(import_module("clew.pipeline.demo"), "SYNTHETIC_SHAPE", (40, 72, 72))
    pipeline.demo(str(tmp_path / "demo"))
    said = capsys.readouterr().out
    assert "could not be downloaded" in said
    assert "synthetic volume" in said
    page = (tmp_path / "demo" / "report.html").read_text()
    assert "synthetic" in page
    assert "clew view" in page
    for wanted in ("Sections", "Largest segments", "Scores", "best for this truth", "Costliest errors", "Time and memory",
                   "extract-fragments"):  # fmt: skip
        assert wanted in page
    for name in ("neurons.png", "affinities.png", "thresholds.png"):
        assert (tmp_path / "demo" / name).stat().st_size > 5000
    segmentation = open_volume(tmp_path / "demo" / "segmentation.zarr")
    assert segmentation.shape == (40, 72, 72)
    assert segmentation.read().max() > 0
    pipeline.demo(str(tmp_path / "demo"))


def test_sample_is_put_together_as_published(tmp_path: Path):
    """Sections and a truth file made here, in the layout of the public files."""
    import gzip
    import io

    import h5py
    import numpy as np
    from PIL import Image

    raw = np.random.default_rng(0).integers(0, 256, (4, 6, 5), dtype=np.uint8)
    paths = {}
    for z, section in enumerate(raw):
        name = f"training_sample2/grayscale_maps/iso.{2600 + z}.png"
        paths[name] = str(tmp_path / f"{z}.png")
        Image.fromarray(section).save(paths[name])
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["stack"] = np.arange(120, dtype=np.uint32).reshape(4, 6, 5) % 3
        file["transforms"] = np.array([[0, 0], [1, 7], [2, 7]], np.uint64)
    paths[sample.TRUTH] = str(tmp_path / "truth.h5.gz")
    Path(paths[sample.TRUTH]).write_bytes(gzip.compress(buffer.getvalue()))
    sample._assemble(paths, tmp_path / "sample.h5")
    labels = open_volume(f"{tmp_path}/sample.h5:volumes/labels/neuron_ids")
    assert labels.voxel_size == (10.0, 10.0, 10.0)
    assert set(np.unique(labels.read())) == {0, 7}
    np.testing.assert_array_equal(open_volume(f"{tmp_path}/sample.h5:volumes/raw").read(), raw)
