"""The networks that come with clew."""

from importlib.resources import files
from pathlib import Path

from clew.errors import InputError
from clew.network.checkpoint import Checkpoint, load_checkpoint

WEIGHTS = Path(str(files("clew.network"))) / "weights"


def bundled_names() -> list[str]:
    """Names of the bundled networks."""
    return sorted(path.stem for path in WEIGHTS.glob("*.pt"))


def open_checkpoint(name: str) -> Checkpoint:
    """A bundled network by its name, or a checkpoint file by its path."""
    bundled = WEIGHTS / f"{name}.pt"
    if bundled.exists():
        return load_checkpoint(bundled)
    if not Path(name).exists():
        raise InputError(
            f"there is no checkpoint {name}; give a file or a bundled network: {', '.join(bundled_names())}"
        )
    return load_checkpoint(Path(name))
