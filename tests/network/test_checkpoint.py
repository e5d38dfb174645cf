from pathlib import Path

import pytest
import torch

from clew.errors import InputError
from clew.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from clew.network.options import PRESETS
from clew.network.unet import UNet, with_descriptors


def make(path: Path, **options: object) -> UNet:
    network = UNet(PRESETS["tiny"])
    save_checkpoint(path, Checkpoint(network, (8.0, 4.24, 4.24), 0.37, "mean", {"step": 12}), **options)
    return network


def test_round_trip(tmp_path: Path) -> None:
    network = make(tmp_path / "a.pt")
    read = load_checkpoint(tmp_path / "a.pt")
    assert (read.voxel_size, read.threshold, read.score, read.record) == ((8.0, 4.24, 4.24), 0.37, "mean", {"step": 12})
    assert read.network.options == PRESETS["tiny"]
    assert read.suggestion == {"suggested_threshold": 0.37, "suggested_score": "mean"}
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(read.network.state_dict()[name], tensor)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_descriptors_are_kept(tmp_path: Path) -> None:
    network = with_descriptors(UNet(PRESETS["tiny"]))
    save_checkpoint(tmp_path / "a.pt", Checkpoint(network, (8.0, 8.0, 8.0)))
    read = load_checkpoint(tmp_path / "a.pt").network
    assert read.options.descriptors
    torch.testing.assert_close(read.descriptor_head.weight, network.descriptor_head.weight)


def test_half_precision_is_half_the_size(tmp_path: Path) -> None:
    make(tmp_path / "a.pt")
    make(tmp_path / "b.pt", half=True)
    assert (tmp_path / "b.pt").stat().st_size < 0.6 * (tmp_path / "a.pt").stat().st_size
    assert next(load_checkpoint(tmp_path / "b.pt").network.parameters()).dtype == torch.float32


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_checkpoint(tmp_path / "none.pt")
    make(tmp_path / "a.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:1000])
    with pytest.raises(InputError, match="not a whole checkpoint"):
        load_checkpoint(tmp_path / "cut.pt")
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    content["weights"].popitem()
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(InputError, match="another architecture"):
        load_checkpoint(tmp_path / "other.pt")
