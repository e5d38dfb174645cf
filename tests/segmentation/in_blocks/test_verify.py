"""`verify_blocks` and its command: blocks of real and random affinities give what the whole gives, or are found out."""

from pathlib import Path

import numpy as np
import pytest

from clew import cli
from clew.errors import InputError
from clew.segmentation.in_blocks import verify
from clew.segmentation.in_blocks.forest import join_tokens
from clew.segmentation.options import AgglomerationOptions, CutOptions, FragmentOptions, SegmentationOptions
from clew.volumes.save import save_volume


@pytest.fixture
def affinities():
    """Blobs with soft borders, so that fragments are larger than blocks."""
    rng = np.random.default_rng(5)
    shape = (24, 30, 36)
    centres = rng.random((30, 3)) * shape
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    gaps = np.sort(((grid[..., None, :] - centres) ** 2).sum(-1) ** 0.5, axis=-1)
    inner = np.clip((gaps[..., 1] - gaps[..., 0]) / 3, 0, 1) * 200
    return np.stack([inner + rng.integers(0, 56, shape) for _ in range(3)]).astype(np.uint8)


def options(**fragments):
    chosen = FragmentOptions(**{"seed_window": 5, "distance_cap": 5, **fragments})
    return SegmentationOptions(chosen, cut=CutOptions(0.4, 20, 5))


def test_blocks_are_identical(affinities):
    for method in ("seeded-forest", "affinity-watershed"):
        found = verify.verify_blocks(affinities, options=options(method=method), trials=4, rng=np.random.default_rng(0))
        results = list(found)
        assert [result.differences for result in results] == [()] * 4
        assert {bool(result.workers) for result in results} == {True, False}
        assert any(result.passed[0].edges for result in results)
        for result in results:
            assert result.passed[-1].edges == result.passed[-1].pairs == 0


def test_a_difference_between_blocks_and_whole_is_named(affinities, monkeypatch):
    monkeypatch.setattr("clew.segmentation.in_blocks.fragments.join_tokens", lambda tokens: join_tokens([]))
    found = verify.verify_blocks(affinities, options=options(), trials=1, rng=np.random.default_rng(0))
    assert next(found).differences[0].startswith("the fragments differ in")


def test_the_command_verifies_blocks(affinities, tmp_path: Path, capsys):
    path = tmp_path / "affinities.zarr"
    save_volume(path, affinities, voxel_size=(8, 8, 8))
    cli.main(["verify-blocks", str(path), "--trials", "2", "--box", "2:,:,3:33", "--minimum-size", "30"])
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.endswith("identical")]) == 2
    assert "level 0" in lines[1]


def test_command_fails_where_blocks_differ(affinities, tmp_path: Path, monkeypatch):
    path = tmp_path / "affinities.zarr"
    save_volume(path, affinities, voxel_size=(8, 8, 8))
    monkeypatch.setenv(cli.TRACEBACK, "1")
    monkeypatch.setattr(verify, "_differences", lambda store, expected: ("the fragments differ in 1 voxels",))
    with pytest.raises(RuntimeError, match="2 of 2"):
        cli.main(["verify-blocks", str(path), "--trials", "2"])


def test_methods_that_are_not_exact_are_refused(affinities):
    flood = options(method="seeded-flood")
    with pytest.raises(InputError, match="seeded-flood"):
        list(verify.verify_blocks(affinities, options=flood, trials=1, rng=np.random.default_rng(0)))
    top = SegmentationOptions(agglomeration=AgglomerationOptions("mean_top_3"))
    with pytest.raises(InputError, match="mean_top_3"):
        list(verify.verify_blocks(affinities, options=top, trials=1, rng=np.random.default_rng(0)))
