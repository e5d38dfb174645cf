"""The same colour for the same neuron, wherever it is drawn."""

import numpy as np


def colours_of(ids: np.ndarray) -> np.ndarray:
    """Colours of neuron ids, by a hash of the id: vivid, spread over all hues.

    Parameters
    ----------
    ids : (…) integer
        Neuron ids.

    Returns
    -------
    numpy.ndarray
        (…, 3) float32, red, green and blue in [0, 1]; 0 is black.
    """
    mixed = _mix(np.asarray(ids).astype(np.uint64))
    hue = (mixed & np.uint64(0xFFFF)).astype(np.float32) / 65536
    saturation = 0.55 + 0.45 * ((mixed >> np.uint64(16)) & np.uint64(0xFF)).astype(np.float32) / 255
    value = 0.72 + 0.28 * ((mixed >> np.uint64(24)) & np.uint64(0xFF)).astype(np.float32) / 255
    sixths = (hue[..., None] * 6 + np.array([5, 3, 1], np.float32)) % 6
    ramp = np.clip(np.minimum(sixths, 4 - sixths), 0, 1)
    colours = value[..., None] * (1 - saturation[..., None] * ramp)
    colours[np.asarray(ids) == 0] = 0
    return colours.astype(np.float32)


def _mix(ids: np.ndarray) -> np.ndarray:
    """Scatter the bits of unsigned 64-bit integers; they wrap around by design.

    This is the finaliser of splitmix64.
    """
    ids = ids + np.uint64(0x9E3779B97F4A7C15)
    ids = (ids ^ (ids >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    ids = (ids ^ (ids >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ids ^ (ids >> np.uint64(31))


def paint(labels: np.ndarray, opacity: float) -> np.ndarray:
    """Colour a section of neurons.

    0 is transparent, and borders between neurons are opaque.

    Parameters
    ----------
    labels : (row, column) integer
        Neuron ids.
    opacity : float
        Of the neurons' inside, 0 to 1.

    Returns
    -------
    numpy.ndarray
        (row, column, 4) float32, red, green, blue and opacity in [0, 1].
    """
    ids, indices = np.unique(labels, return_inverse=True)
    image = np.empty((*labels.shape, 4), np.float32)
    image[..., :3] = colours_of(ids)[indices.reshape(labels.shape)]
    border = np.zeros(labels.shape, bool)
    border[:-1] |= labels[:-1] != labels[1:]
    border[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    image[..., 3] = np.where(border, min(1.0, opacity + 0.4), opacity)
    image[labels == 0, 3] = 0
    return image


def follow(labels: list[np.ndarray], reference: list[np.ndarray]) -> list[np.ndarray]:
    """Replace labels so that they have the colours of the segments they match.

    A label matches a segment of the reference where each is most of the other.

    Parameters
    ----------
    labels, reference : list of (row, column) integer
        The same sections of two segmentations.

    Returns
    -------
    list of numpy.ndarray
        Sections of uint64 ids for colouring only: never one id for two labels, 0 stays 0.
    """
    ids, indices = np.unique(np.concatenate([part.ravel() for part in labels]).astype(np.uint64), return_inverse=True)
    others = np.concatenate([part.ravel() for part in reference]).astype(np.uint64)
    other_ids, other_indices = np.unique(others, return_inverse=True)
    pairs, counts = np.unique(indices * np.int64(len(other_ids)) + other_indices, return_counts=True)
    new_ids = _mix(ids + np.uint64(1))
    new_ids[ids == 0] = 0
    free_labels = set(np.flatnonzero(ids).tolist())
    free_segments = set(np.flatnonzero(other_ids).tolist())
    for pair in pairs[np.argsort(-counts, kind="stable")]:
        label, segment = divmod(int(pair), len(other_ids))
        if label in free_labels and segment in free_segments:
            new_ids[label] = other_ids[segment]
            free_labels.remove(label)
            free_segments.remove(segment)
    ends = np.cumsum([part.size for part in labels])
    sections = np.split(new_ids[indices], ends[:-1])
    return [section.reshape(part.shape) for section, part in zip(sections, labels, strict=True)]
