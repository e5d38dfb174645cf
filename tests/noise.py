"""Affinities that are right but for noise."""

import numpy as np

from clew.space import NEAREST_OFFSETS
from clew.training.targets import affinity_targets


def noisy_affinities(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """The true affinities of labels, up to 119 levels worse: (3, z, y, x) uint8."""
    targets, _ = affinity_targets(labels, NEAREST_OFFSETS)
    noise = np.random.default_rng(seed).integers(0, 120, targets.shape)
    return np.where(targets, 255 - noise, noise).astype(np.uint8)
