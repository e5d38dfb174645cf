import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from clew.errors import InputError
from clew.network.options import PRESETS
from clew.network.unet import UNet, with_descriptors
from clew.training.options import AugmentationOptions, TrainingOptions
from clew.training.sampling import Sampler, TrainingVolume, prepare_volume
from clew.training.trainer import StepReport, Trainer, learning_rate
from clew.training.validation import validate

OPTIONS = TrainingOptions(steps=6, crop=(16, 16, 16), margin=2, warmup=2, malis_after=3, learning_rate=3e-3)


@pytest.fixture(scope="module")
def volume() -> TrainingVolume:
    """Four bright blocks between dark membranes."""
    labels = np.zeros((24, 32, 32), np.uint64)
    boxes = [np.s_[:, :15, :15], np.s_[:, :15, 17:], np.s_[:, 17:, :15], np.s_[:, 17:, 17:]]
    for number, box in enumerate(boxes, 5):
        labels[box] = number
    raw = np.where(labels > 0, 200, 50).astype(np.uint8)
    return TrainingVolume(raw, labels, np.ones(labels.shape, bool))


def make_trainer(volume: TrainingVolume, **changes: object) -> Trainer:
    torch.manual_seed(0)
    return Trainer(UNet(PRESETS["tiny"]), [volume], dataclasses.replace(OPTIONS, **changes), AugmentationOptions())


def take(steps: Iterator[StepReport], number: int) -> list[StepReport]:
    return [next(steps) for _ in range(number)]


def test_training_lowers_the_loss_and_malis_follows(volume: TrainingVolume) -> None:
    reports = list(make_trainer(volume, steps=40, malis_after=30))
    assert len(reports) == 40
    assert np.mean([r.voxel_loss for r in reports[20:30]]) < 0.75 * np.mean([r.voxel_loss for r in reports[:5]])
    assert all(r.malis_loss == 0 for r in reports[:30])
    assert all(r.malis_loss > 0 for r in reports[30:])


@pytest.mark.parametrize("changes", [{"loss": "squared-error"}, {"padding": "valid", "margin": 0}, {"batch": 2}])
def test_other_recipes_run(volume: TrainingVolume, changes: dict) -> None:
    reports = list(make_trainer(volume, steps=4, malis_after=2, **changes))
    assert all(np.isfinite(report.loss) for report in reports)


def test_descriptors_are_learned_beside_the_affinities(volume: TrainingVolume) -> None:
    torch.manual_seed(0)
    options = dataclasses.replace(OPTIONS, steps=30, malis_after=25, descriptor_weight=20.0, descriptor_sigma=30.0)
    network = with_descriptors(UNet(PRESETS["tiny"]).eval())
    with pytest.raises(InputError, match="the voxel size"):
        Trainer(network, [volume], options, AugmentationOptions())
    trainer = Trainer(network, [volume], options, AugmentationOptions(), voxel_size=(10, 10, 10))
    losses = [report.descriptor_loss for report in trainer]
    assert np.mean(losses[-10:]) < 0.75 * losses[0]
    assert trainer.averaged_network.options.descriptors


def test_a_network_with_descriptors_trains_without_them(volume: TrainingVolume) -> None:
    network = with_descriptors(UNet(PRESETS["tiny"]))
    reports = list(Trainer(network, [volume], OPTIONS, AugmentationOptions()))
    assert all(report.descriptor_loss == 0 and np.isfinite(report.loss) for report in reports)


def test_resumed_training_continues_the_same_curve(volume: TrainingVolume) -> None:
    undisturbed = [report.loss for report in make_trainer(volume)]
    first = make_trainer(volume)
    losses = [report.loss for report in take(iter(first), 4)]
    second = make_trainer(volume)
    second.load_state(first.state())
    losses += [report.loss for report in second]
    np.testing.assert_allclose(losses, undisturbed, rtol=1e-4)


def test_averaged_network_predicts_with_valid_convolutions(volume: TrainingVolume) -> None:
    trainer = make_trainer(volume)
    take(iter(trainer), 1)
    network = trainer.averaged_network
    assert not network.training
    assert network(torch.zeros(1, 1, 32, 32, 32)).shape[2] < 32


def test_validation_scores_a_held_out_box(volume: TrainingVolume) -> None:
    found = validate(UNet(PRESETS["tiny"]).eval(), volume.raw, volume.labels, np.s_[0:8, 0:32, 0:32])
    assert 0 <= found.threshold <= 1
    assert found.scores.voi_sum >= 0


def test_diverged_training_stops(volume: TrainingVolume) -> None:
    trainer = make_trainer(volume)
    with torch.no_grad():
        trainer.network.head.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="not finite"):
        next(iter(trainer))


def test_learning_rate_warms_up_and_falls() -> None:
    options = TrainingOptions(steps=100, warmup=10, learning_rate=1.0)
    rates = [learning_rate(step, options) for step in range(101)]
    assert rates[0] < rates[5] < rates[9]
    assert rates[20] > rates[60] > rates[100] == pytest.approx(0)


def test_crops_are_reproducible_annotated_and_aligned(volume: TrainingVolume) -> None:
    mask = volume.mask.copy()
    mask[12:] = False
    prepared = prepare_volume(TrainingVolume(volume.raw, volume.labels, mask), 0)
    quiet = AugmentationOptions(intensity_scale=0, intensity_shift=0, noise=0, blur=0, warp_probability=1)
    sampler = Sampler((prepared,), (12, 20, 20), (8, 16, 16), OPTIONS, quiet)
    for step in range(12):
        crop, again = sampler.draw(step), sampler.draw(step)
        np.testing.assert_array_equal(crop.raw, again.raw)
        np.testing.assert_array_equal(crop.labels, again.labels)
        assert crop.mask.mean() >= OPTIONS.minimum_annotated
        border = [(outer - inner) // 2 for outer, inner in zip(crop.raw.shape, crop.labels.shape, strict=True)]
        raw = crop.raw[tuple(slice(b, -b) for b in border)]
        clear = np.abs(raw - (200 + 50) / 255 + 1) > 0.4
        assert ((raw > 0) == (crop.labels > 0))[clear & crop.mask].mean() > 0.98


def test_volume_without_a_large_enough_annotated_crop() -> None:
    mask = np.zeros((20, 20, 20), bool)
    mask[::7, ::7, ::7] = True
    prepared = prepare_volume(TrainingVolume(np.zeros(mask.shape, np.uint8), np.ones(mask.shape, np.uint64), mask), 0)
    sampler = Sampler((prepared,), (8, 8, 8), (8, 8, 8), OPTIONS, AugmentationOptions())
    with pytest.raises(InputError, match="no crop of"):
        sampler.draw(0)
