"""What a training step minimises: voxel-wise loss, MALIS, descriptors.

Source: arXiv 1709.02974, section 3.1.

The loss of a batch is the mean of the losses of its crops: it does not matter which crops share a forward pass.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from clew.space import NEAREST_OFFSETS
from clew.training.batches import Batch
from clew.training.descriptors import descriptor_loss
from clew.training.options import Loss, TrainingOptions


def loss_terms(
    logits: Tensor,
    batch: Batch,
    weights: tuple[Tensor, Tensor] | None,
    options: TrainingOptions,
    last_layer: Tensor | None = None,
) -> Tensor:
    """The weighted terms of the loss: voxel-wise, MALIS, descriptors.

    Their sum is minimised.

    Parameters
    ----------
    logits : (batch, channel, z, y, x) tensor
        Network output before the sigmoid: affinities, then descriptors if there are any.
    batch : Batch
        The crops, on the device of the logits.
    weights : pair of (batch, 3, z, y, x) tensors, optional
        Weights of both passes of MALIS; None before MALIS begins.
    options : TrainingOptions
    last_layer : tensor, optional
        Weights of the network's last layer, at which gradients are compared where `malis_gradient` says how large that of
        MALIS shall be.

    Returns
    -------
    (3,) float32 tensor
    """
    affinities, described = logits.split([batch.targets.shape[1], logits.shape[1] - batch.targets.shape[1]], dim=1)
    emphasis = Emphasis(batch.thin, options.thin_weight) if batch.thin.numel() else None
    voxels = balanced_loss(affinities, batch.targets, batch.valid, options.loss, emphasis)
    malis = descriptors = voxels.new_zeros(())
    if weights is not None:
        malis = malis_loss(affinities, *weights, options, emphasis)
        if options.malis_gradient is None:
            voxels, malis = (1 - options.malis_weight) * voxels, options.malis_weight * malis
        elif last_layer is not None:
            malis = malis * options.malis_gradient * _ratio_of_gradients(voxels, malis, last_layer)
    if options.descriptor_weight:
        pairs = zip(described.split(1), batch.descriptors.split(1), strict=True)
        descriptors = options.descriptor_weight * torch.stack([descriptor_loss(*pair) for pair in pairs]).mean()
    return torch.stack([voxels, malis, descriptors])


class Emphasis(NamedTuple):
    """Pairs of voxels that weigh more than others.

    Parameters
    ----------
    pairs : (batch, offset, z, y, x) bool tensor
    weight : float
        How much more.
    """

    pairs: Tensor
    weight: float

    def __call__(self, weights: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Weights with the emphasis; along the axes they add up to what they did."""
        heavier = weights * torch.where(self.pairs[:, : weights.shape[1]], self.weight, 1.0)
        total, before = (part.sum(axes, keepdim=True) for part in (heavier, weights))
        return heavier * torch.where(total > 0, before / total.clamp(min=1e-30), 0.0)


def balanced_loss(
    logits: Tensor, targets: Tensor, valid: Tensor, kind: Loss, emphasis: Emphasis | None = None
) -> Tensor:
    """Mean loss over crops and offsets, balanced between both kinds of pairs.

    The positive pairs of a crop and offset, which lie inside objects, weigh 1/(2f), the others 1/(2(1 - f)), with f the share
    of positive pairs there, clipped to [0.05, 0.95].

    Parameters
    ----------
    logits : (batch, offset, z, y, x) tensor
        Network output before the sigmoid.
    targets : (batch, offset, z, y, x) tensor
        Target affinities.
    valid : (batch, offset, z, y, x) tensor
        Pairs that count.
    kind : str
        `cross-entropy`, or the paper's `squared-error`.
    emphasis : Emphasis, optional
        Positive pairs that weigh more than other positive pairs.

    Returns
    -------
    scalar tensor
    """
    targets, valid = targets.float(), valid.float()
    if kind == "cross-entropy":
        values = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    else:
        values = (torch.sigmoid(logits) - targets) ** 2
    axes = (2, 3, 4)
    count = valid.sum(axes, keepdim=True).clamp(min=1)
    positive = ((targets * valid).sum(axes, keepdim=True) / count).clamp(0.05, 0.95)
    weights = valid * torch.where(targets > 0, 0.5 / positive, 0.5 / (1 - positive)) / count
    if emphasis is not None:
        weights = weights * (1 - targets) + emphasis(weights * targets, axes)
    return (weights * values).sum() / (logits.shape[0] * logits.shape[1])


def malis_loss(
    logits: Tensor,
    positive: Tensor,
    negative: Tensor,
    options: TrainingOptions = TrainingOptions(),
    emphasis: Emphasis | None = None,
) -> Tensor:
    """Constrained MALIS of the nearest-neighbour affinities, from given weights.

    The weights of both passes are constants.

    Parameters
    ----------
    logits : (batch, offset, z, y, x) tensor
        Network output before the sigmoid; the first three offsets count.
    positive, negative : (batch, 3, z, y, x) tensors
        Weights of the passes, as of `malis_weights`.
    options : TrainingOptions
        Weights of the passes against each other, form of the error, and which errors count.
    emphasis : Emphasis, optional
        Pairs that weigh more in the positive pass.

    Returns
    -------
    scalar tensor
    """
    nearest = logits[:, : len(NEAREST_OFFSETS)]
    affinities = torch.sigmoid(nearest)
    if options.malis_form == "cross-entropy":
        split, merged = functional.softplus(-nearest), functional.softplus(nearest)
    else:
        split, merged = (1 - affinities) ** 2, affinities**2
    if emphasis is not None:
        positive = emphasis(positive, (1, 2, 3, 4))
    positive, negative = options.malis_positive * positive, options.malis_negative * negative
    if options.malis_errors_above:
        positive = positive * (1 - affinities >= options.malis_errors_above)
        negative = negative * (affinities >= options.malis_errors_above)
    return (positive * split + negative * merged).sum() / len(logits)


def _ratio_of_gradients(one: Tensor, other: Tensor, weights: Tensor) -> Tensor:
    """Norm of the gradient of one loss divided by that of another.

    Gradients are taken with respect to the weights; the ratio is 0 where the other norm is 0.

    Gradients with respect to affinities would not do: many small ones in agreement move the network more than a few
    large ones that contradict each other.
    """
    norms = [torch.autograd.grad(loss, weights, retain_graph=True)[0].norm() for loss in (one, other)]
    return torch.where(norms[1] > 0, norms[0] / norms[1].clamp(min=1e-30), 0.0).detach()
