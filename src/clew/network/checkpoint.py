"""Checkpoints: one file with the weights of a network and its record.

The record holds the architecture and everything else that the next stage must know.
"""

import dataclasses
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch

from clew.documents import brief, expect, parse_json, regular_file
from clew.errors import InputError
from clew.network.options import UNetOptions
from clew.network.unet import UNet, check_options, count_parameters
from clew.replace import written_beside
from clew.space import Lengths, triple

FORMAT = "clew checkpoint 1"
ARCHITECTURE = {
    "features": "a list of sizes",
    "pooling": "a list of triples",
    "encoder_convolutions": "a list of sizes",
    "decoder_convolutions": "a list of sizes",
    "upsampling": "text",
    "residual": "true or false",
    "slope": "a number",
    "offsets": "a list of triples",
    "descriptors": "true or false",
}
"""What the fields of an architecture are in the header."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and its record.

    Parameters
    ----------
    network : UNet
        In evaluation mode on the CPU.
    voxel_size : (z, y, x) floats
        In nm: what the network was trained for.
    threshold : float, optional
        Agglomeration threshold chosen on held-out annotation.
    score : str, optional
        Name of the agglomeration score that the threshold belongs to.
    record : dict
        Training record: data, options, steps, validation scores; plain JSON values.

    Examples
    --------
    >>> network = clew.UNet(clew.PRESETS["tiny"])
    >>> checkpoint = clew.Checkpoint(network, voxel_size=(8.0, 8.0, 8.0), threshold=0.4, score="mean")
    >>> checkpoint.suggestion
    {'suggested_threshold': 0.4, 'suggested_score': 'mean'}
    """

    network: UNet
    voxel_size: Lengths
    threshold: float | None = None
    score: str | None = None
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def suggestion(self) -> dict[str, Any]:
        """Threshold and score for later stages where the user gives none.

        Only those that the checkpoint has.
        """
        values = {"suggested_threshold": self.threshold, "suggested_score": self.score}
        return {name: value for name, value in values.items() if value is not None}

    def rows(self) -> list[tuple[str, str]]:
        """Facts about the checkpoint as pairs (name, value)."""
        options = self.network.options
        facts = {
            "parameters": f"{count_parameters(self.network):,}",
            "voxel size": f"{self.voxel_size} nm (z, y, x)",
            "offsets": str(options.offsets),
            "features": str(options.features),
            "pooling": str(options.pooling),
            "context": f"{options.context} voxels (z, y, x) on each side",
            "threshold": f"{self.threshold} on 1 - {self.score}" if self.threshold is not None else "none",
        }
        return [("format", FORMAT), *facts.items(), *((name, str(value)) for name, value in self.record.items())]


def save_checkpoint(path: str | Path, checkpoint: Checkpoint, *, half: bool = False) -> None:
    """Write a checkpoint, beside its place first and renamed when whole.

    Parameters
    ----------
    path : str or Path
        An existing file is replaced.
    checkpoint : Checkpoint
    half : bool
        Store the weights in 16 bits.

    Examples
    --------
    >>> network = clew.UNet(clew.PRESETS["tiny"])
    >>> clew.save_checkpoint("mine.pt", clew.Checkpoint(network, voxel_size=(8.0, 8.0, 8.0)), half=True)
    >>> clew.load_checkpoint("mine.pt").network.options == clew.PRESETS["tiny"]
    True
    """
    weights = {
        name: (tensor.half() if half else tensor).detach().cpu().contiguous()
        for name, tensor in checkpoint.network.state_dict().items()
    }
    header = {
        "format": FORMAT,
        "architecture": dataclasses.asdict(checkpoint.network.options),
        "voxel_size": list(checkpoint.voxel_size),
        "threshold": checkpoint.threshold,
        "score": checkpoint.score,
        "record": checkpoint.record,
    }
    with written_beside(Path(path), overwrite=True) as partial, partial.open("wb") as file:
        save_whole({"header": json.dumps(header), "weights": weights}, file)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint; nothing in the file is executed.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Checkpoint

    Raises
    ------
    InputError
        For a file that is missing, damaged or of another kind, or weights that are NaN or infinite.

    Examples
    --------
    >>> network = clew.UNet(clew.PRESETS["tiny"])
    >>> clew.save_checkpoint("mine.pt", clew.Checkpoint(network, (8.0, 8.0, 8.0), record={"steps": 10}))
    >>> clew.load_checkpoint("mine.pt").record
    {'steps': 10}
    """
    path = Path(path)
    regular_file(path)
    try:
        content = read_whole(path)
        if sum(tensor.nbytes for tensor in content["weights"].values()) > path.stat().st_size:
            raise ValueError("weights that are larger than the file, as views of few numbers are")
        text, weights = content["header"], {str(name): _dense(tensor) for name, tensor in content["weights"].items()}
    except Exception as error:
        raise InputError(f"{path} is not a whole checkpoint of clew ({FORMAT}): {type(error).__name__}") from error
    header = parse_json(text, f"the header of {path}")
    if header.get("format") != FORMAT:
        raise InputError(
            f"{path} is not a checkpoint of this version of clew ({FORMAT}), but {brief(header.get('format'))}"
        )
    options = _architecture(header, str(path))
    _refuse_other_shapes(options, weights, path)
    network = UNet(options)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{path} holds weights that do not fit the architecture in its header: {brief(error)}"
        ) from error
    wrong = [name for name, weight in network.named_parameters() if not torch.stack(weight.aminmax()).isfinite().all()]
    if wrong:
        raise InputError(f"{path} cannot predict: its weights {', '.join(wrong[:3])} are not all finite numbers")
    return Checkpoint(network.eval(), **_facts(header, str(path)))


def save_whole(content: Any, file: BinaryIO) -> None:
    """Write tensors and plain values so that `read_whole` can check them."""
    torch.save(content, file)


def read_whole(path: Path) -> Any:
    """Read what `save_whole` wrote, and compare every byte with its checksum.

    PyTorch does not compare them.

    Nothing in the file is executed. Errors of many kinds where the file is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        # of an entry that is marked as a folder PyTorch reads nothing: it takes what is in memory
        if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
            raise ValueError("packed content, which torch.save does not write and which may be of any size")
        if archive.testzip() or any(entry.external_attr for entry in archive.infolist()):
            raise ValueError("a checksum differs")
    return torch.load(path, map_location="cpu", weights_only=True)


def _refuse_other_shapes(options: UNetOptions, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Refuse weights that are not those of the architecture.

    This is done before the architecture takes memory, because a header can say anything.
    """
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    wanted = {}
    if sum(map(abs, (*options.encoder_convolutions, *options.decoder_convolutions))) <= len(found):
        try:
            with torch.device("meta"):  # shapes without memory
                wanted = {name: tuple(tensor.shape) for name, tensor in UNet(options).state_dict().items()}
        except RuntimeError:  # more numbers than can be counted
            pass
    if found != wanted:
        raise InputError(
            f"{path} holds weights that do not fit the architecture in its header: features {options.features}"
        )


def _dense(tensor: Any) -> torch.Tensor:
    """Weights as float32, refused by a TypeError where they are no plain tensor.

    A view that shows few numbers as many is an example.
    """
    if not (isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.is_contiguous()):
        raise TypeError("weights must be plain tensors of floats")
    return tensor.float()


def _architecture(header: dict[str, Any], source: str) -> UNetOptions:
    def tupled(value: Any) -> Any:
        return tuple(tupled(item) for item in value) if isinstance(value, list) else value

    found = expect(header, "architecture", "an object", source)
    unknown = found.keys() - ARCHITECTURE.keys()
    if unknown:
        raise InputError(f"{source}: this version of clew knows no architecture with the setting {brief(min(unknown))}")
    fields = {
        name: tupled(expect(found, name, wanted, source)) for name, wanted in ARCHITECTURE.items() if name in found
    }
    try:
        return check_options(UNetOptions(**fields))
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def _facts(header: dict[str, Any], source: str) -> dict[str, Any]:
    """Everything in a header except the architecture."""
    voxel_size = expect(header, "voxel_size", "three positive numbers", source)
    given = {name: value for name, value in header.items() if value is not None}
    return {
        "voxel_size": triple(map(float, voxel_size)),
        "threshold": expect(given, "threshold", "a number", source, None),
        "score": expect(given, "score", "text", source, None),
        "record": expect(given, "record", "an object", source, {}),
    }
