import json
import random
import zipfile
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


def test_round_trip(tmp_path: Path):
    network = make(tmp_path / "a.pt")
    read = load_checkpoint(tmp_path / "a.pt")
    assert (read.voxel_size, read.threshold, read.score, read.record) == ((8.0, 4.24, 4.24), 0.37, "mean", {"step": 12})
    assert read.network.options == PRESETS["tiny"]
    assert read.suggestion == {"suggested_threshold": 0.37, "suggested_score": "mean"}
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(read.network.state_dict()[name], tensor)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_descriptors_are_kept(tmp_path: Path):
    network = with_descriptors(UNet(PRESETS["tiny"]))
    save_checkpoint(tmp_path / "a.pt", Checkpoint(network, (8.0, 8.0, 8.0)))
    read = load_checkpoint(tmp_path / "a.pt").network
    assert read.options.descriptors
    torch.testing.assert_close(read.descriptor_head.weight, network.descriptor_head.weight)


def test_half_precision_is_half_the_size(tmp_path: Path):
    make(tmp_path / "a.pt")
    make(tmp_path / "b.pt", half=True)
    assert (tmp_path / "b.pt").stat().st_size < 0.6 * (tmp_path / "a.pt").stat().st_size
    assert next(load_checkpoint(tmp_path / "b.pt").network.parameters()).dtype == torch.float32


def test_bad_files(tmp_path: Path):
    with pytest.raises(InputError, match="there is no file"):
        load_checkpoint(tmp_path / "none.pt")
    make(tmp_path / "a.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:1000])
    with pytest.raises(InputError, match="not a whole checkpoint"):
        load_checkpoint(tmp_path / "cut.pt")
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    content["weights"].popitem()
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(InputError, match="do not fit the architecture"):
        load_checkpoint(tmp_path / "other.pt")


def test_a_flipped_bit_is_never_read(tmp_path: Path):
    make(tmp_path / "a.pt")
    whole, right = (tmp_path / "a.pt").read_bytes(), load_checkpoint(tmp_path / "a.pt")
    refused = 0
    for bit in random.Random(0).sample(range(8 * len(whole)), 60):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / "a.pt").write_bytes(damaged)
        try:
            read = load_checkpoint(tmp_path / "a.pt")
        except InputError as error:
            assert "a.pt is not a whole checkpoint" in str(error)
            refused += 1
            continue
        assert (read.voxel_size, read.threshold, read.record) == (right.voxel_size, right.threshold, right.record)
        for name, tensor in right.network.state_dict().items():
            assert torch.equal(read.network.state_dict()[name], tensor)
    assert refused > 50


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float):
    network = UNet(PRESETS["tiny"])
    with torch.no_grad():
        network.head.bias[1] = value
    save_checkpoint(tmp_path / "a.pt", Checkpoint(network, (8.0, 8.0, 8.0)))
    with pytest.raises(InputError, match=r"its weights head\.bias are not all finite"):
        load_checkpoint(tmp_path / "a.pt")


def change(path: Path, header: dict[str, object] | None = None, weights: dict[str, torch.Tensor] | None = None) -> None:
    content = torch.load(path, weights_only=True)
    found = json.loads(content["header"])
    found["architecture"] |= header or {}
    torch.save({"header": json.dumps(found), "weights": content["weights"] | (weights or {})}, path)


@pytest.mark.parametrize(
    "header",
    [
        {"features": [20_000, 40_000, 80_000]},
        {"features": [10**9, 10**9, 10**9]},
        {"encoder_convolutions": [1, 1, 10**9]},
        {"encoder_convolutions": [1, -(10**9), 10**9]},
        {"pooling": [[2, 2, 2], [2000, 2000, 2000]]},
        {"descriptors": True},
    ],
)
def test_an_absurd_architecture_is_refused_before_it_takes_memory(tmp_path: Path, header: dict[str, object]):
    make(tmp_path / "a.pt")
    change(tmp_path / "a.pt", header)
    before = torch.nn.init.kaiming_normal_
    built = []

    def watched(tensor: torch.Tensor, **options: object) -> torch.Tensor:
        built.extend([] if tensor.is_meta else [tensor.nbytes])
        return before(tensor, **options)

    with (
        pytest.MonkeyPatch.context() as patched,
        pytest.raises(InputError, match="do not fit the architecture|must be a list"),
    ):
        patched.setattr(torch.nn.init, "kaiming_normal_", watched)
        load_checkpoint(tmp_path / "a.pt")
    assert not built


def test_weights_are_not_larger_than_the_file(tmp_path: Path):
    make(tmp_path / "a.pt")
    change(tmp_path / "a.pt", weights={"head.weight": torch.zeros(1).expand(10**9)})
    with pytest.raises(InputError, match="not a whole checkpoint"):
        load_checkpoint(tmp_path / "a.pt")
    make(tmp_path / "b.pt")
    with (
        zipfile.ZipFile(tmp_path / "b.pt") as plain,
        zipfile.ZipFile(tmp_path / "c.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in plain.namelist():
            packed.writestr(entry, plain.read(entry) + bytes(10**6))
    with pytest.raises(InputError, match="not a whole checkpoint"):
        load_checkpoint(tmp_path / "c.pt")
