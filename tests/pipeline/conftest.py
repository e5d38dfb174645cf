"""Runs of the pipeline: what they read, what they are to give, and who does the work."""

from pathlib import Path

import pytest

from clew.space import NEAREST_OFFSETS
from clew.synthetic.volume import synthesize
from clew.volumes.affinities import affinity_attributes
from clew.volumes.save import save_volume
from noise import noisy_affinities
from pipeline.block_runs import OPTIONS, segment_whole, work_here, work_in_threads


@pytest.fixture(scope="session")
def affinities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("affinities") / "affinities.zarr"
    values = noisy_affinities(synthesize((24, 48, 64), seed=3).labels)
    save_volume(path, values, voxel_size=(8, 8, 8), attributes=affinity_attributes(NEAREST_OFFSETS, "uint8"))
    return path


@pytest.fixture(scope="session")
def expected(affinities: Path) -> Path:
    return segment_whole(affinities, "whole", OPTIONS)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    work_in_threads(monkeypatch)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Dask: the tasks are what is tested."""

    work_here(monkeypatch)
