"""Codecs and types of voxels that tensorstore does not know, or not by this name."""

import re
from collections.abc import Mapping
from typing import Any

from clew.documents import is_list

_SHUFFLE = {"cname": "zstd", "clevel": 1, "shuffle": "noshuffle", "typesize": 1, "blocksize": 0}
SAME: dict[Any, dict[str, Any]] = {
    "numcodecs.zstd": {"name": "zstd", "configuration": {"level": 1, "checksum": False}},
    "numcodecs.gzip": {"name": "gzip", "configuration": {"level": 1}},
    "numcodecs.blosc": {"name": "blosc", "configuration": _SHUFFLE},
}
"""Codecs that zarr-python knows by two names; how chunks were compressed stands in them."""
_NOT_A_CODEC = re.compile(r'"([^"]+)" is not registered')
_NOT_A_TYPE = re.compile(
    r'(?:Unsupported (?:zarr dtype|data type): "([^"]+)"|(\S+) data type is not one of|"field" that is one of: (\S+))'
)


def known(document: Mapping[str, Any], form: str) -> dict[str, Any]:
    """The metadata of an array, with names of codecs that tensorstore knows."""
    if form == "zarr 2" and document.get("filters") == []:
        return {**document, "filters": None}
    if form == "N5" and isinstance(document.get("compression"), Mapping):
        inner = document["compression"]
        return {**document, "compression": {key: value for key, value in inner.items() if key != "nthreads"}}
    codecs = document.get("codecs")
    if form == "zarr 3" and isinstance(codecs, list):
        return {**document, "codecs": [_known_codec(codec) for codec in codecs]}
    return dict(document)


def _known_codec(codec: Any) -> Any:
    """A codec of zarr 3, under the name that tensorstore knows."""
    if not isinstance(codec, Mapping) or not isinstance(codec.get("configuration", {}), Mapping):
        return codec
    name, inner = codec.get("name"), dict(codec.get("configuration", {}))
    if name == "sharding_indexed" and is_list(inner.get("codecs")):
        return {**codec, "configuration": {**inner, "codecs": [_known_codec(part) for part in inner["codecs"]]}}
    return SAME.get(name, codec)


def reason(message: str, document: Mapping[str, Any], source: str, form: str) -> str:
    """Why tensorstore cannot open an array, in our words; "" where we have none.

    Parameters
    ----------
    message : str
        Of tensorstore.
    document : mapping
        The metadata.
    source, form : str
        Name of the array, and its format.
    """
    codec = _NOT_A_CODEC.search(message)
    filters: Any = document.get("filters")
    if "filters are not supported" in message and is_list(filters):
        names = ", ".join(str(part.get("id")) for part in filters if isinstance(part, Mapping))
        return f"its chunks went through the filter {names}, which clew does not undo; {_rewrite(source, form)}"
    if codec:
        return f"its chunks are compressed by {codec[1]}, which clew does not know; {_rewrite(source, form)}"
    if 'object member "encoding"' in message:
        return (
            f"its chunks are encoded as {document.get('encoding')}, which clew does not know; {_rewrite(source, form)}"
        )
    kind = _NOT_A_TYPE.search(message)
    if kind:
        return f"it holds {next(filter(None, kind.groups()))}; wanted bool, integers or floats"
    return ""


def _rewrite(source: str, form: str) -> str:
    """How to write an array anew with codecs that all readers know."""
    if form.startswith("zarr"):
        copy = f"a = zarr.open_array({source!r}); zarr.create_array('new.zarr', data=a[:], attributes=dict(a.attrs))"
        return f'write it anew with zarr: python -c "import zarr; {copy}"'
    if form == "N5":
        return "write it anew with gzip, in Fiji"
    return "write it anew with cloud-volume, encoding raw or compressed_segmentation"
