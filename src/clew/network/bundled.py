"""The networks that come with clew."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from clew.errors import InputError

if TYPE_CHECKING:
    from clew.network.checkpoint import Checkpoint

WEIGHTS = Path(str(files("clew.network"))) / "weights"


def bundled_names() -> list[str]:
    """Names of the bundled networks."""
    return sorted(path.stem for path in WEIGHTS.glob("*.pt"))


def open_checkpoint(name: str) -> "Checkpoint":
    """Open a bundled network by its name, or a checkpoint file by its path.

    Parameters
    ----------
    name : str
        `clew info` lists the bundled networks.

    Returns
    -------
    Checkpoint

    Raises
    ------
    InputError
        If there is no bundled network and no file of that name, or the file is not a checkpoint.

    Examples
    --------
    >>> network = clew.UNet(clew.PRESETS["tiny"])
    >>> clew.save_checkpoint("mine.pt", clew.Checkpoint(network, voxel_size=(8.0, 8.0, 8.0)))
    >>> clew.open_checkpoint("mine.pt").voxel_size
    (8.0, 8.0, 8.0)
    """
    from clew.network.checkpoint import (
        load_checkpoint,
    )  # with torch, which takes seconds; the names are wanted without it

    bundled = WEIGHTS / f"{name}.pt"
    if bundled.exists():
        return load_checkpoint(bundled)
    if not Path(name).exists():
        raise InputError(
            f"there is no checkpoint {name}; give a file or a bundled network: {', '.join(bundled_names())}"
        )
    return load_checkpoint(Path(name))
