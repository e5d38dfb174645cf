"""Slow, obvious twin of the local shape descriptors: one voxel after the other, in float64."""

import numpy as np


def local_shape_descriptors(labels, sigma, voxel_size):
    voxel_size = np.array(voxel_size, float)
    reach = (3 * sigma / voxel_size + 0.5).astype(int)
    around = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    weights = np.exp(-(((around * voxel_size) / sigma) ** 2).sum(axis=1) / 2)
    weights /= weights.sum()
    descriptors = np.zeros((10, *labels.shape))
    for voxel in np.argwhere(labels):
        near = around + voxel
        inside = ((near >= 0) & (near < labels.shape)).all(axis=1)
        own = np.zeros(len(near), bool)
        own[inside] = labels[tuple(near[inside].T)] == labels[tuple(voxel)]
        offsets, share = around[own] * voxel_size, weights[own]
        mean = np.average(offsets, axis=0, weights=share)
        covariance = np.cov(offsets.T, aweights=share, ddof=0)
        deviation = np.sqrt(np.diag(covariance))
        correlations = [
            covariance[a, b] / (deviation[a] * deviation[b]) if deviation[a] * deviation[b] > 1e-9 else 0
            for a, b in ((0, 1), (0, 2), (1, 2))
        ]
        found = [*(mean / sigma / 2 + 0.5), *np.diag(covariance) / sigma**2, *np.array(correlations) / 2 + 0.5]
        descriptors[(slice(None), *voxel)] = np.clip([*found, share.sum()], 0, 1)
    return descriptors
