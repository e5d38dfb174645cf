import itertools
from copy import deepcopy

import numpy as np
import pytest
import torch

from clew.errors import InputError
from clew.network.options import PredictionOptions
from clew.network.prediction import predict_affinities
from clew.network.symmetries import Symmetry, TestTimeAugmentation, symmetries
from clew.network.unet import UNet

ISOTROPIC = (8, 8, 8)
MIRRORS = [axes for count in range(4) for axes in itertools.combinations((2, 3, 4), count)]
AFFINITIES = (slice(None), slice(1, None), slice(1, None), slice(1, None))
"""Voxels all of whose pairs are inside the volume, however it is mirrored."""


@pytest.fixture(scope="module")
def raw() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (19, 22, 25), dtype=np.uint8)


def predict(
    network: UNet, raw: np.ndarray, augmentation: TestTimeAugmentation, *, box: tuple | None = None, **changed: object
) -> np.ndarray:
    options = PredictionOptions(device="cpu", precision="float32", test_time_augmentation=augmentation, **changed)
    return predict_affinities(network, raw, box=box, options=options, voxel_size=ISOTROPIC)


def see(array: np.ndarray, symmetry: Symmetry) -> np.ndarray:
    return np.flip(array.transpose(symmetry.order), [axis for axis in range(3) if symmetry.mirrored[axis]])


def by_pairs(seen: np.ndarray, voxels: np.ndarray, shape: tuple) -> np.ndarray:
    """Affinities of a volume from those of what is seen of it: each pair of voxels is looked up by the voxels' numbers."""
    pairs = {}
    for channel, *voxel in np.ndindex(seen.shape):
        if voxel[channel]:
            before = tuple(v - (axis == channel) for axis, v in enumerate(voxel))
            pairs[frozenset((voxels[tuple(voxel)], voxels[before]))] = seen[(channel, *voxel)]
    numbers = np.arange(np.prod(shape)).reshape(shape)
    affinities = np.zeros((3, *shape))
    for channel, *voxel in np.ndindex(affinities.shape):
        if voxel[channel]:
            before = tuple(v - (axis == channel) for axis, v in enumerate(voxel))
            affinities[(channel, *voxel)] = pairs[frozenset((numbers[tuple(voxel)], numbers[before]))]
    return affinities


def test_the_average_holds_every_pair_of_voxels_of_every_view(network: UNet, raw: np.ndarray):
    raw = raw[:9, :10, :11]
    numbers = np.arange(raw.size).reshape(raw.shape)
    views = [
        by_pairs(predict(network, see(raw, s), "none"), see(numbers, s), raw.shape)
        for s in symmetries("all", ISOTROPIC)
    ]
    assert np.std(views, axis=0).mean() > 1, "the network sees no difference"
    averaged = predict(network, raw, "all", tile=(4, 8, 8))
    np.testing.assert_allclose(averaged[AFFINITIES], np.mean(views, axis=0)[AFFINITIES], atol=1.5)


@pytest.mark.parametrize(("augmentation", "tile"), [("flips", (4, 4, 8)), ("all", (8, 12, 16))])
def test_the_tile_does_not_change_the_average(
    network: UNet, raw: np.ndarray, tile: tuple, augmentation: TestTimeAugmentation
):
    whole = predict(network, raw, augmentation, tile=(64, 64, 64))
    assert whole.std() > 2
    assert np.abs(predict(network, raw, augmentation, tile=tile).astype(int) - whole).max() <= 1
    box = np.s_[3:9, 5:22, 7:8]
    part = predict(network, raw, augmentation, tile=tile, box=box)
    assert np.abs(part.astype(int) - whole[(slice(None), *box)]).max() <= 1


def test_a_mirrored_volume_has_the_mirrored_average(network: UNet, raw: np.ndarray):
    straight = predict(network, raw, "flips").astype(int)
    mirrored = predict(network, raw[:, ::-1], "flips")[:, :, ::-1]
    assert np.abs(straight[::2] - mirrored[::2]).max() <= 1
    assert np.abs(straight[1, :, 1:] - mirrored[1, :, :-1]).max() <= 1


def test_a_transposed_volume_has_the_transposed_average(network: UNet, raw: np.ndarray):
    straight = predict(network, raw, "all").astype(int)
    transposed = predict(network, raw.transpose(2, 0, 1), "all")[[1, 2, 0]].transpose(0, 2, 3, 1)
    assert np.abs(straight - transposed).max() <= 1


def test_only_equal_axes_are_exchanged():
    assert symmetries("none") == [Symmetry()]
    assert len(set(symmetries("flips"))) == 8
    assert len(set(symmetries("all", ISOTROPIC))) == 48
    anisotropic = symmetries("all", (40, 4, 4))
    assert {s.order for s in anisotropic} == {(0, 1, 2), (0, 2, 1)}
    assert {s.mirrored for s in anisotropic} == set(itertools.product((False, True), repeat=3))


def test_transposes_are_refused_where_the_voxel_size_is_not_known(network: UNet, raw: np.ndarray):
    options = PredictionOptions(test_time_augmentation="all")
    with pytest.raises(InputError, match=r"give voxel_size \(z, y, x\) in nm$"):
        predict_affinities(network, raw, options=options)


def test_a_symmetric_network_sees_each_pair_from_both_sides(network: UNet):
    """Its map of a mirrored volume is the mirrored map, so the average of a pair is that of the maps at its two voxels."""
    symmetric = deepcopy(network)
    with torch.no_grad():
        for name, weight in symmetric.named_parameters():
            if name.endswith("weight"):
                weight.copy_(sum(weight.flip(axes) for axes in MIRRORS) / len(MIRRORS))
    raw = np.random.default_rng(0).integers(0, 256, (16, 24, 20), dtype=np.uint8)
    assert all(size % factor == 0 for size, factor in zip(raw.shape, network.options.factor, strict=True))
    plain = predict(symmetric, raw, "none").astype(float)
    averaged = predict(symmetric, raw, "flips", tile=(8, 8, 16))
    assert plain.std() > 2
    for channel, found in enumerate(averaged):
        expected = (plain[channel] + np.roll(plain[channel], 1, channel)) / 2
        inside = (slice(None),) * channel + (slice(1, None),)
        np.testing.assert_allclose(found[inside], expected[inside], atol=1)
        assert np.abs(found[inside] - plain[channel][inside]).max() > 2, "the pair of the next voxel was not looked at"
