"""Voxel-wise losses on affinities, balanced between pairs inside objects and pairs across (arXiv 1709.02974, section 3.1)."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

VoxelLoss = Literal["cross-entropy", "squared-error"]


def balanced_loss(logits: Tensor, targets: Tensor, valid: Tensor, kind: VoxelLoss) -> Tensor:
    """Mean over offsets of the balanced loss.

    Parameters
    ----------
    logits, targets, valid : (batch, offset, z, y, x)
        Network output before the sigmoid; target affinities; pairs that count.
    kind
        `cross-entropy`, or the paper's `squared-error`.

    Each offset's positive pairs weigh 1/(2f), the others 1/(2(1 - f)), with f its share of positive pairs clipped to
    [0.05, 0.95].
    """
    targets, valid = targets.float(), valid.float()
    if kind == "cross-entropy":
        values = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    else:
        values = (torch.sigmoid(logits) - targets) ** 2
    axes = (0, 2, 3, 4)
    count = valid.sum(axes, keepdim=True).clamp(min=1)
    positive = ((targets * valid).sum(axes, keepdim=True) / count).clamp(0.05, 0.95)
    weights = valid * torch.where(targets > 0, 0.5 / positive, 0.5 / (1 - positive)) / count
    return (weights * values).sum() / logits.shape[1]
