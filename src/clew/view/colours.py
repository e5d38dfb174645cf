"""The same colour for the same neuron, wherever it is drawn."""

import numpy as np


def colours_of(ids: np.ndarray) -> np.ndarray:
    """The colours that neuroglancer gives ids, so that pictures and viewer agree.

    Parameters
    ----------
    ids : (…) integer
        Neuron ids.

    Returns
    -------
    numpy.ndarray
        (…, 3) float32, red, green and blue in [0, 1]; 0 is black.
    """
    ids = np.asarray(ids).astype(np.uint64)
    mixed = _combine(_combine(np.zeros(ids.shape, np.uint32), ids), ids >> np.uint64(32))
    hue, paleness = ((mixed >> np.uint32(shift) & np.uint32(0xFF)).astype(np.float32) / 255 for shift in (0, 8))
    sixths = (hue[..., None] * 6 + np.array([5, 3, 1], np.float32)) % 6
    ramp = np.clip(np.minimum(sixths, 4 - sixths), 0, 1)
    colours = 1 - (0.5 + 0.5 * paleness[..., None]) * ramp
    colours[ids == 0] = 0
    return colours.astype(np.float32)


def _combine(state: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mix the lower 32 bits of values into a state; they wrap around by design.

    This is a step of MurmurHash3 (Appleby), as neuroglancer takes it for its colours.
    """
    with np.errstate(over="ignore"):
        mixed = values.astype(np.uint32) * np.uint32(0xCC9E2D51)
        state = state ^ _rotated(mixed, 15) * np.uint32(0x1B873593)
        return _rotated(state, 13) * np.uint32(5) + np.uint32(0xE6546B64)


def _rotated(bits: np.ndarray, by: int) -> np.ndarray:
    return bits << np.uint32(by) | bits >> np.uint32(32 - by)


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


def _mix(ids: np.ndarray) -> np.ndarray:
    """Scatter the bits of unsigned 64-bit integers; they wrap around by design.

    This is the finaliser of splitmix64.
    """
    ids = ids + np.uint64(0x9E3779B97F4A7C15)
    ids = (ids ^ (ids >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    ids = (ids ^ (ids >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ids ^ (ids >> np.uint64(31))
