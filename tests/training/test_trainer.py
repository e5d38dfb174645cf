import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clew.errors import InputError
from clew.evaluation.scores import Scores
from clew.network.options import PRESETS
from clew.network.unet import UNet, with_descriptors
from clew.segmentation.segment import build_merge_tree
from clew.space import Box
from clew.training.batches import prepared_ahead
from clew.training.losses import Emphasis, balanced_loss, loss_terms, malis_loss
from clew.training.malis import constrained_malis_loss, malis_weights
from clew.training.options import AugmentationOptions, Loss, TrainingOptions
from clew.training.sampling import Crop, Sampler, TrainingVolume, prepare_volume
from clew.training.trainer import NotFiniteError, StepReport, Trainer, learning_rate
from clew.training.validation import THRESHOLDS, HeldOut, _neurons, _Segmented, validate, validate_parts

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
    options = dataclasses.replace(OPTIONS, **changes)
    return Trainer(UNet(PRESETS["tiny"]), [volume], options, AugmentationOptions(), precision="float32")


def take(steps: Iterator[StepReport], number: int) -> list[StepReport]:
    return [next(steps) for _ in range(number)]


def test_training_lowers_the_loss_and_malis_follows(volume: TrainingVolume):
    reports = list(make_trainer(volume, steps=40, malis_after=30))
    assert len(reports) == 40
    assert np.mean([r.voxel_loss for r in reports[20:30]]) < 0.75 * np.mean([r.voxel_loss for r in reports[:5]])
    assert all(r.malis_loss == 0 for r in reports[:30])
    assert all(r.malis_loss > 0 for r in reports[30:])


@pytest.mark.parametrize("changes", [{"loss": "squared-error"}, {"padding": "valid", "margin": 0}, {"batch": 2}])
def test_other_recipes_run(volume: TrainingVolume, changes: dict):
    reports = list(make_trainer(volume, steps=4, malis_after=2, **changes))
    assert all(np.isfinite(report.loss) for report in reports)


def test_descriptors_are_learned_beside_the_affinities(volume: TrainingVolume):
    torch.manual_seed(0)
    options = dataclasses.replace(OPTIONS, steps=30, malis_after=25, descriptor_weight=20.0, descriptor_sigma=30.0)
    network = with_descriptors(UNet(PRESETS["tiny"]).eval())
    with pytest.raises(InputError, match="the voxel size"):
        Trainer(network, [volume], options, AugmentationOptions())
    trainer = Trainer(network, [volume], options, AugmentationOptions(), voxel_size=(10, 10, 10))
    losses = [report.descriptor_loss for report in trainer]
    assert np.mean(losses[-10:]) < 0.75 * losses[0]
    assert trainer.averaged_network.options.descriptors


def test_a_network_with_descriptors_trains_without_them(volume: TrainingVolume):
    network = with_descriptors(UNet(PRESETS["tiny"]))
    reports = list(Trainer(network, [volume], OPTIONS, AugmentationOptions()))
    assert all(report.descriptor_loss == 0 and np.isfinite(report.loss) for report in reports)


def test_resumed_training_continues_the_same_curve_to_the_bit(volume: TrainingVolume, tmp_path: Path):
    undisturbed = make_trainer(volume, accumulate=2)
    losses = [report.loss for report in undisturbed]
    first = make_trainer(volume, accumulate=2)
    resumed_losses = [report.loss for report in take(iter(first), 3)]
    torch.save(first.state(), tmp_path / "state.pt")
    second = make_trainer(volume, accumulate=2)
    with torch.no_grad():
        second.network.head.weight.fill_(0)
    second.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    resumed_losses += [report.loss for report in second]
    assert resumed_losses == losses
    assert_equal_states(second.state(), undisturbed.state())


def assert_equal_states(one: Any, other: Any) -> None:
    """Nested states are equal to the last bit."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_equal_states(one[name], other[name])
    else:
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("split", [{"batch": 1, "accumulate": 4}, {"batch": 2, "accumulate": 2}])
def test_accumulated_passes_are_as_one_large_batch(volume: TrainingVolume, split: dict):
    whole, parts = make_trainer(volume, batch=4, steps=4), make_trainer(volume, steps=4, **split)
    for one, other in zip(whole, parts, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-4)
    for weight, same in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        torch.testing.assert_close(weight, same, rtol=1e-3, atol=1e-5)


def test_malis_beside_the_next_pass_changes_no_loss(volume: TrainingVolume, monkeypatch: pytest.MonkeyPatch):
    recipe = {"accumulate": 3, "malis_after": 0, "steps": 3}
    losses = [report.loss for report in make_trainer(volume, **recipe)]
    calls: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_passes_at_once", 1)
        for name in ("_forward", "_backward"):
            done = getattr(Trainer, name)
            patched.setattr(Trainer, name, lambda self, given, n=name, f=done: (calls.append(n), f(self, given))[1])
        assert [report.loss for report in make_trainer(volume, **recipe)] == losses
    forward, backward = "_forward", "_backward"
    assert calls[:6] == [forward, forward, backward, forward, backward, backward]


def test_malis_in_threads_is_the_malis_loss(volume: TrainingVolume):
    trainer = make_trainer(volume, malis_after=0, malis_weight=1.0)
    batch = trainer._draw(0, range(2))
    logits = torch.randn(2, 3, 16, 16, 16, requires_grad=True)
    weights = trainer.malis.finish(trainer.malis.start(logits, batch), "cpu")
    terms = loss_terms(logits, batch, weights, trainer.options)
    (found,) = torch.autograd.grad(terms.sum(), logits)
    reference = constrained_malis_loss(torch.sigmoid(logits), batch.labels, mask=batch.valid)
    (wanted,) = torch.autograd.grad(reference, logits)
    assert terms.tolist() == pytest.approx([0.0, reference.item(), 0.0])
    torch.testing.assert_close(found, wanted)


def test_malis_in_windows_is_counted_on_the_grid_of_each_crop(volume: TrainingVolume):
    trainer = make_trainer(volume, malis_after=0, malis_window=(6, 7, 8))
    batch = trainer._draw(0, range(2))
    assert (batch.starts[0] != batch.starts[1]).any()
    logits = torch.randn(2, 3, 16, 16, 16)
    weights = trainer.malis.finish(trainer.malis.start(logits, batch), "cpu")
    crops = zip(torch.sigmoid(logits).numpy(), batch.labels, batch.valid.numpy(), batch.starts, strict=True)
    for number, (affinities, labels, valid, start) in enumerate(crops):
        wanted = malis_weights(affinities, labels, valid, window=(6, 7, 8), start=start)
        for found, part in zip(weights, wanted, strict=True):
            np.testing.assert_array_equal(found[number], part)


def test_windows_beside_the_whole_crop(volume: TrainingVolume):
    logits, found = torch.randn(1, 3, 16, 16, 16), []
    for changes in ({}, {"malis_window": (6, 7, 8)}, {"malis_window": (6, 7, 8), "malis_whole_crop": 0.25}):
        trainer = make_trainer(volume, malis_after=0, **changes)
        found.append(trainer.malis.finish(trainer.malis.start(logits, trainer._draw(0, range(1))), "cpu"))
    for whole, windows, both in zip(*found, strict=True):
        torch.testing.assert_close(both, 0.25 * whole + 0.75 * windows)


def test_training_in_windows_resumes_to_the_bit(volume: TrainingVolume, tmp_path: Path):
    recipe = {"malis_window": (6, 6, 6), "malis_after": 0, "malis_gradient": 0.5}
    losses = [report.loss for report in make_trainer(volume, **recipe)]
    first, second = make_trainer(volume, **recipe), make_trainer(volume, **recipe)
    resumed = [report.loss for report in take(iter(first), 3)]
    torch.save(first.state(), tmp_path / "state.pt")
    second.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert resumed + [report.loss for report in second] == losses


def test_windows_larger_than_the_crop_are_refused(volume: TrainingVolume):
    with pytest.raises(InputError, match="fit into the crop"):
        make_trainer(volume, malis_window=(17, 8, 8))


def test_the_gradient_of_malis_has_the_norm_that_is_asked_for(volume: TrainingVolume):
    trainer = make_trainer(volume, malis_after=0, malis_gradient=0.3)
    batch, last = trainer._draw(0, range(1)), trainer.network.head.weight
    logits = trainer._logits(batch.raw)
    weights = trainer.malis.finish(trainer.malis.start(logits, batch), "cpu")
    voxels, malis, _ = loss_terms(logits, batch, weights, trainer.options, last)
    norms = [torch.autograd.grad(term, last, retain_graph=True)[0].norm() for term in (voxels, malis)]
    assert norms[1].item() == pytest.approx(0.3 * norms[0].item(), rel=1e-4)
    plain = loss_terms(logits, batch, None, trainer.options)
    assert voxels.item() == plain[0].item()


def test_passes_form_and_errors_of_malis():
    logits = torch.tensor([-2.0, 0.5, 1.0, -0.5, 3.0, 2.0]).reshape(1, 3, 1, 1, 2).requires_grad_()
    affinities = torch.sigmoid(logits)
    positive, negative = torch.tensor([1.0, 2, 0, 3, 4, 0]), torch.tensor([0.0, 0, 5, 0, 0, 6])
    positive, negative = positive.reshape(logits.shape), negative.reshape(logits.shape)
    split = (positive * (1 - affinities) ** 2).sum()
    merged = (negative * affinities**2).sum()

    def loss(**changes: Any) -> torch.Tensor:
        return malis_loss(logits, positive, negative, dataclasses.replace(OPTIONS, **changes))

    torch.testing.assert_close(loss(), split + merged)
    torch.testing.assert_close(loss(malis_positive=0.0, malis_negative=3.0), 3 * merged)
    entropy = -(positive * affinities.log() + negative * (1 - affinities).log()).sum()
    torch.testing.assert_close(loss(malis_form="cross-entropy"), entropy)
    wrong = (positive * (1 - affinities) ** 2)[1 - affinities > 0.3].sum() + (negative * affinities**2)[
        affinities > 0.3
    ].sum()
    torch.testing.assert_close(loss(malis_errors_above=0.3), wrong)
    assert wrong < split + merged


@pytest.fixture(scope="module")
def beside_thin() -> TrainingVolume:
    """A wide block and a neurite of 50 nm beside it."""
    labels = np.zeros((24, 32, 32), np.uint64)
    labels[:, :20], labels[9:14, 22:27] = 3, 8
    return TrainingVolume(np.where(labels > 0, 200, 50).astype(np.uint8), labels, np.ones(labels.shape, bool))


def thin_trainer(volume: TrainingVolume, **changes: Any) -> Trainer:
    torch.manual_seed(0)
    options = dataclasses.replace(OPTIONS, **{"malis_after": 1, "boundary_steps": 0, "thin_weight": 3.0} | changes)
    network = UNet(PRESETS["tiny"])
    return Trainer(network, [volume], options, AugmentationOptions(), voxel_size=(10, 10, 10), precision="float32")


def test_thin_neurites_follow_the_crop(beside_thin: TrainingVolume):
    trainer = thin_trainer(beside_thin)
    for step in range(4):
        crop = trainer.sampler.draw(step)
        np.testing.assert_array_equal(crop.thin & (crop.labels > 0), crop.labels == 2)
    assert trainer._draw(0, range(2)).thin.shape == (2, 3, 16, 16, 16)
    assert make_trainer(beside_thin)._draw(0, range(1)).thin.numel() == 0


def test_pairs_of_thin_neurites_weigh_more_and_all_together_as_before():
    logits, thin = torch.randn(1, 3, 4, 4, 4), torch.rand(1, 3, 4, 4, 4) < 0.3
    targets, valid = torch.rand(1, 3, 4, 4, 4) < 0.6, torch.rand(1, 3, 4, 4, 4) < 0.9
    values = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets.float(), reduction="none")
    wanted = torch.zeros(())
    for channel in range(3):
        inside, between = (valid & targets)[0, channel], (valid & ~targets)[0, channel]
        share = (inside.sum() / valid[0, channel].sum()).clamp(0.05, 0.95)
        heavy = torch.where(thin[0, channel], 5.0, 1.0)[inside]
        mean = (values[0, channel][inside] * heavy).sum() / heavy.sum() * inside.sum()
        wanted += (
            (mean * 0.5 / share + values[0, channel][between].sum() * 0.5 / (1 - share)) / valid[0, channel].sum() / 3
        )
    emphasis = Emphasis(thin, 5.0)
    torch.testing.assert_close(balanced_loss(logits, targets, valid, "cross-entropy", emphasis), wanted)
    positive, affinities = torch.rand(logits.shape), torch.sigmoid(logits)
    heavy = torch.where(thin, 5.0, 1.0) * positive
    split = (heavy * positive.sum() / heavy.sum() * (1 - affinities) ** 2).sum()
    torch.testing.assert_close(malis_loss(logits, positive, torch.zeros_like(positive), OPTIONS, emphasis), split)


@pytest.mark.parametrize("weight", [0.2, 5.0])
def test_where_nothing_or_all_is_thin_the_loss_is_the_same(weight: float):
    logits, targets = torch.randn(2, 3, 4, 4, 4), torch.rand(2, 3, 4, 4, 4) < 0.6
    valid = torch.ones_like(targets)
    for thin in (valid, ~valid):
        found = balanced_loss(logits, targets, valid, "squared-error", Emphasis(thin, weight))
        torch.testing.assert_close(found, balanced_loss(logits, targets, valid, "squared-error"))


def test_training_with_weights_of_thin_neurites_resumes_to_the_bit(beside_thin: TrainingVolume):
    losses = [report.loss for report in thin_trainer(beside_thin)]
    first, second = thin_trainer(beside_thin), thin_trainer(beside_thin)
    resumed = [report.loss for report in take(iter(first), 3)]
    second.load_state(first.state())
    assert resumed + [report.loss for report in second] == losses
    assert losses != [report.loss for report in thin_trainer(beside_thin, thin_weight=1.0)]


def test_thin_weights_need_a_voxel_size_and_thin_neurites(beside_thin: TrainingVolume):
    with pytest.raises(InputError, match="need the voxel size"):
        make_trainer(beside_thin, thin_weight=2.0)
    with pytest.raises(InputError, match="thinner than 5 nm"):
        thin_trainer(beside_thin, thin_below=5.0)


def test_one_pass_of_malis_where_asked(volume: TrainingVolume):
    trainer = make_trainer(volume, malis_after=0, malis_passes=1)
    batch = trainer._draw(0, range(2))
    affinities = torch.rand(2, 3, 16, 16, 16)
    found = trainer.malis.finish(trainer.malis.start(torch.logit(affinities), batch), "cpu")
    affinities = torch.sigmoid(torch.logit(affinities)).numpy()
    crops = zip(affinities, batch.labels, batch.valid[:, :3].numpy(), strict=True)
    wanted = zip(*(malis_weights(*crop, passes=1) for crop in crops), strict=True)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours, np.stack(theirs))
    assert all(np.isfinite(report.loss) for report in trainer)


@pytest.mark.parametrize("kind", ["cross-entropy", "squared-error"])
def test_loss_of_a_batch_is_the_mean_of_its_crops(kind: Loss):
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, 4)
    targets = torch.stack([torch.rand(3, 4, 4, 4) < share for share in (0.2, 0.9)])
    valid = torch.stack([torch.rand(3, 4, 4, 4) < share for share in (0.9, 0.5)])
    crops = [balanced_loss(*(part[i : i + 1] for part in (logits, targets, valid)), kind) for i in range(2)]
    assert balanced_loss(logits, targets, valid, kind).item() == pytest.approx(sum(crops).item() / 2, rel=1e-5)


def test_stop_ends_after_the_step(volume: TrainingVolume):
    trainer = make_trainer(volume)
    for report in trainer:
        if report.step == 2:
            trainer.stop()
    assert (trainer.step, trainer.stopped) == (3, True)


def test_items_are_prepared_ahead_in_order():
    begun: list[int] = []

    def prepare(item: int) -> int:
        begun.append(item)
        return item * item

    prepared = prepared_ahead(prepare, iter(range(10)), threads=1, ahead=3)
    assert next(prepared) == 0
    prepared.close()
    assert begun == list(range(len(begun)))
    assert len(begun) <= 4
    assert list(prepared_ahead(prepare, range(10), threads=4, ahead=20)) == [item * item for item in range(10)]


def test_averaged_network_predicts_with_valid_convolutions(volume: TrainingVolume):
    trainer = make_trainer(volume)
    take(iter(trainer), 1)
    network = trainer.averaged_network
    assert not network.training
    assert network(torch.zeros(1, 1, 32, 32, 32)).shape[2] < 32


def test_validation_scores_a_held_out_box(volume: TrainingVolume):
    found = validate(UNet(PRESETS["tiny"]).eval(), volume.raw, volume.labels, Box.whole((8, 32, 32)), surroundings=0)
    assert 0 <= found.threshold <= 1
    assert found.scores.voi_sum >= 0


def test_the_threshold_is_best_for_all_parts_together(monkeypatch: pytest.MonkeyPatch):
    """The first part alone is best at the first threshold, the second at the third; together they are at the second."""
    sums = np.full((2, len(THRESHOLDS)), 9.0)
    sums[:, :3] = [[1, 2, 5], [6, 3, 2]]
    curves = [[Scores(voi / 2, voi / 2, voi, voi / 10, voi) for voi in row] for row in sums.tolist()]
    fragments, _, tree = build_merge_tree(np.full((3, 1, 1, 1), 255, np.uint8))
    monkeypatch.setattr(
        "clew.training.validation._segment",
        lambda network, part, *options: _Segmented(fragments, tree, curves[part.box]),
    )
    parts = [HeldOut(np.zeros((1, 1, 1), np.uint8), np.zeros((1, 1, 1)), number) for number in (0, 1)]
    found = validate_parts(UNet(PRESETS["tiny"]), parts, surroundings=0)
    assert (found.threshold, found.scores.voi_sum, found.scores.voi_split) == (THRESHOLDS[1], 2.5, 1.25)
    assert [scores.voi_sum for scores in found.parts] == [2, 3]


def test_single_annotated_sections_keep_their_neurons():
    labels = np.zeros((3, 1, 5), np.uint64)
    labels[0] = labels[2] = [7, 7, 9, 7, 7]
    assert _neurons(labels).tolist() == labels.tolist()
    assert len(np.unique(_neurons(labels[:1]))) == 3
    labels[1] = labels[0]
    assert len(np.unique(_neurons(labels))) == 3


def test_truth_near_borders_is_not_scored_unless_nothing_is_left():
    labels = np.repeat(np.array([4, 9], np.uint64), 8).reshape(1, 1, 16)
    part = HeldOut(np.zeros(labels.shape, np.uint8), labels, np.s_[0:1, 0:1, 2:16], (40.0, 10.0, 10.0), 20.0)
    first, second = np.unique(part.truth())[1:]
    assert part.truth().ravel().tolist() == [first] * 3 + [0] * 6 + [second] * 5
    assert part._replace(border=0.0).truth().all()
    assert part._replace(border=1000.0).truth().all()


def test_validation_segments_the_surroundings_and_scores_the_box(volume: TrainingVolume):
    torch.manual_seed(1)
    network, box = UNet(PRESETS["tiny"]).eval(), Box(*np.s_[4:20, 3:20, 0:9])
    only_box = np.zeros_like(volume.labels)
    only_box[box] = volume.labels[box]
    whole = Box.whole(volume.raw.shape)
    found = validate(network, volume.raw, volume.labels, box, surroundings=1000)
    of_whole = validate(network, volume.raw, only_box, whole, surroundings=0)
    assert found[:3] == of_whole[:3]
    np.testing.assert_array_equal(found.segmentation, of_whole.segmentation[box])
    assert found[:3] != validate(network, volume.raw, volume.labels, box, surroundings=0)[:3]


def test_diverged_training_stops(volume: TrainingVolume):
    trainer = make_trainer(volume)
    with torch.no_grad():
        trainer.network.head.weight.fill_(float("nan"))
    with pytest.raises(NotFiniteError, match="step 1 is not finite") as caught:
        next(iter(trainer))
    example = caught.value.example
    np.testing.assert_array_equal(example.raw, trainer.sampler.draw(0, 0).raw)
    assert np.isnan(example.affinities).all()
    assert trainer.step == 0


def test_the_crop_whose_loss_is_not_finite_is_named(volume: TrainingVolume):
    trainer = make_trainer(volume, batch=2, accumulate=2, malis_after=0)
    draw = type(trainer.sampler).draw

    def spoil(sampler: Sampler, step: int, index: int = 0) -> Crop:
        crop = draw(sampler, step, index)
        return crop._replace(raw=crop.raw * np.nan) if (step, index) == (1, 3) else crop

    with pytest.MonkeyPatch.context() as patched, pytest.raises(NotFiniteError, match="its crop 3") as caught:
        patched.setattr(Sampler, "draw", spoil)
        list(trainer)
    assert trainer.step == 1
    assert caught.value.example.number == 3


def test_an_example_shows_what_the_network_is_trained_on(volume: TrainingVolume):
    trainer = make_trainer(volume)
    take(iter(trainer), 2)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    example = trainer.example()
    assert_equal_states(before, dict(trainer.network.state_dict()))
    assert example.raw.shape == example.labels.shape == (16, 16, 16)
    assert example.targets.shape == example.affinities.shape == example.positive.shape == (3, 16, 16, 16)
    assert example.positive.sum() == pytest.approx(1, rel=1e-4)
    assert not (example.positive * example.negative).any()


def test_learning_rate_warms_up_and_falls():
    options = TrainingOptions(steps=100, warmup=10, learning_rate=1.0)
    rates = [learning_rate(step, options) for step in range(101)]
    assert rates[0] < rates[5] < rates[9]
    assert rates[20] > rates[60] > rates[100] == pytest.approx(0)


def test_crops_are_reproducible_annotated_and_aligned(volume: TrainingVolume):
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
        raw = crop.raw[Box.whole(crop.raw.shape).middle(crop.labels.shape)]
        clear = np.abs(raw - (200 + 50) / 255 + 1) > 0.4
        assert ((raw > 0) == (crop.labels > 0))[clear & crop.mask].mean() > 0.98


def test_volume_without_a_large_enough_annotated_crop():
    mask = np.zeros((20, 20, 20), bool)
    mask[::7, ::7, ::7] = True
    prepared = prepare_volume(TrainingVolume(np.zeros(mask.shape, np.uint8), np.ones(mask.shape, np.uint64), mask), 0)
    sampler = Sampler((prepared,), (8, 8, 8), (8, 8, 8), OPTIONS, AugmentationOptions())
    with pytest.raises(InputError, match="no crop of"):
        sampler.draw(0)
