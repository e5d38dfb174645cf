"""Paths and URLs of volumes.

`path`, `path:dataset`, `format://path`, `s3://bucket/path`.
"""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from clew.documents import parse_json
from clew.errors import InputError

FORMATS = ("precomputed", "zarr", "zarr2", "zarr3", "n5")
HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")
TIFF_SUFFIXES = (".tif", ".tiff")
IMAGE_SUFFIXES = (*TIFF_SUFFIXES, ".png", ".jpg", ".jpeg", ".bmp")
BY_NUMBER, BY_NAME = "by-number", "by-name"
"""In the place of a dataset: the sections of a folder lie where their numbers say, or are in the order of their names."""
FILE_SCHEME = re.compile(r"^file://(?:localhost(?=/))?")
_SCHEME = re.compile(r"^(?!file:)[a-z0-9+]+://")


@dataclass(frozen=True)
class Location:
    """A container, the dataset named in it, and the format that the user named.

    The container is a local path or a URL; the dataset is "" where none is named.
    """

    container: str
    dataset: str = ""
    format: str = ""

    @property
    def remote(self) -> bool:
        return is_remote(self.container)

    def __str__(self) -> str:
        return f"{self.container}:{self.dataset}" if self.dataset else self.container


def find_location(path: str | os.PathLike[str], dataset: str | None = None) -> Location:
    """Split what the user gave into an existing container and the dataset in it.

    `dataset` given apart wins. A local container that does not exist is an InputError.
    """
    named_format, text = split_format(path)
    if not text:
        raise InputError("a path is empty; wanted the path of a file or folder")
    container, inner = _split_remote(text) if is_remote(text) else _split_local(text)
    if dataset is not None:
        inner = f"{inner}/{dataset}".strip("/") if inner else dataset.strip("/")
    return Location(container, inner, named_format)


def split_format(path: str | os.PathLike[str]) -> tuple[str, str]:
    """The format before a path, as in `zarr://path`, or nothing, and the path."""
    text = os.fspath(path)
    name, _, rest = text.partition("://")
    return (name, rest) if name in FORMATS else ("", text)


def plain_paths(text: str) -> str:
    """Paths separated by commas without `file://`, and without `~` at the beginning."""
    parts = [normal_path(part) if FILE_SCHEME.match(part) else part for part in text.split(",")]
    return os.path.expanduser(",".join(parts))


def is_remote(folder: str) -> bool:
    """Is it a URL?"""
    return bool(_SCHEME.match(folder))


def normal_path(path: str | os.PathLike[str]) -> str:
    """A local path without `file://`, `~`, `.`, `..` and slashes at its end.

    Links that `..` goes through are followed, as the system does it; all others stay.
    """
    text = os.fspath(path)
    if FILE_SCHEME.match(text):
        text = unquote(FILE_SCHEME.sub("", text))
    parts = Path(os.path.expanduser(text)).parts
    if ".." not in parts:
        return str(Path(*parts))
    after = len(parts) - parts[::-1].index("..")
    return str(Path(os.path.realpath(Path(*parts[:after])), *parts[after:]))


def read_bytes(folder: str, name: str) -> bytes | None:
    """Content of a small file in a local or remote folder, None where there is none."""
    try:
        if is_remote(folder):
            found = _objects(folder).read(name).result()
            return bytes(found.value) if found.state == "value" else None
        file = Path(folder) / name
        return file.read_bytes() if file.is_file() else None
    except (OSError, ValueError) as error:
        if is_remote(folder) and "PERMISSION_DENIED" in str(error):
            return None  # what S3 answers for a missing file where listing is not allowed
        raise InputError(f"{folder}/{name} cannot be read: {str(error).splitlines()[0]}") from error


def has_object(folder: str, name: str) -> bool:
    """Whether a file is in a local or remote folder."""
    if not is_remote(folder):
        return os.path.isfile(os.path.join(normal_path(folder), name))
    import tensorstore

    return bool(_objects(folder).list(tensorstore.KvStore.KeyRange(name, f"{name}\0")).result())


def write_bytes(folder: str, name: str, content: bytes) -> None:
    """Write a file in a local or remote folder, whole or not at all.

    Missing folders are made.
    """
    _objects(folder).write(name, content).result()


def remove_bytes(folder: str, name: str) -> None:
    """Remove a small file in a local or remote folder, if it is there."""
    if is_remote(folder):
        _objects(folder).write(name, None).result()
    else:
        Path(normal_path(folder), name).unlink(missing_ok=True)


def remove_remote(folder: str) -> None:
    """Remove everything below a remote folder."""
    import tensorstore

    _objects(folder).delete_range(tensorstore.KvStore.KeyRange()).result()


def remove_whole(folder: str) -> None:
    """Remove a folder, local or in object storage, if it is there."""
    if is_remote(folder):
        remove_remote(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _objects(folder: str) -> Any:
    """The objects below a folder, by name."""
    import tensorstore

    return tensorstore.KvStore.open(kvstore_spec(folder), context=context()).result()


def read_json(folder: str, name: str) -> dict[str, Any] | None:
    """A JSON object in a folder, None where there is none."""
    content = read_bytes(folder, name)
    if content is None:
        return None
    return parse_json(content, f"{folder.rstrip('/')}/{name}")


def subfolders(folder: str) -> list[str]:
    """Names of the folders in a local folder, in natural order.

    Remote folders are not listed.
    """
    if is_remote(folder):
        return []
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    return sorted(names, key=natural_key)


def join(folder: str, name: str) -> str:
    """A folder in a folder, local or remote."""
    return f"{folder.rstrip('/')}/{name.strip('/')}" if name.strip("/") else folder


def parent(folder: str) -> tuple[str, str] | None:
    """The folder above and the name in it; None at the top (of a bucket)."""
    head, _, name = folder.rstrip("/").rpartition("/")
    if is_remote(folder):
        return (head, name) if head.count("/") >= 2 else None
    whole = Path(folder).absolute()
    return (str(whole.parent), whole.name) if whole.parent != whole else None


def kvstore_spec(folder: str) -> dict[str, Any]:
    """tensorstore's specification of a folder, local or on s3://, gs://, http(s)://."""
    if not is_remote(folder):
        path = os.path.abspath(normal_path(folder))
        if "\\" in path:
            raise InputError(
                f"{path}: zarr, N5 and precomputed cannot lie below a folder with \\ in its name: rename it"
            )
        return {"driver": "file", "path": f"{path}/"}
    import tensorstore

    try:
        spec: dict[str, Any] = tensorstore.KvStore.Spec(f"{folder.rstrip('/')}/").to_json()
    except ValueError as error:
        raise InputError(f"{folder} is not a URL that can be read: {str(error).splitlines()[0]}") from None
    return spec | _s3_server() if spec["driver"] == "s3" else spec


def _s3_server() -> dict[str, str]:
    """The S3 server, if it is not Amazon's, and the region.

    They stand in the environment variables that all S3 clients read.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or (endpoint and "us-east-1")
    return {name: value for name, value in (("endpoint", endpoint), ("aws_region", region)) if value}


def context(*, retries: int = 3) -> Any:
    """tensorstore's context: a small cache, and few retries by default.

    So a missing network is reported soon.
    """
    import tensorstore

    delays = {"max_retries": retries, "initial_delay": "500ms", "max_delay": "2s"}
    requests = {f"{name}_request_retries": delays for name in ("s3", "gcs", "http")}
    return tensorstore.Context({"cache_pool": {"total_bytes_limit": 100_000_000}, **requests})


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts section_2 before section_10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def _split_local(given: str) -> tuple[str, str]:
    text = normal_path(given)
    if os.path.exists(text):
        return text, ""
    colons = [place for place, letter in enumerate(text) if letter == ":"]
    for place in reversed(colons):
        if os.path.exists(text[:place]):
            return text[:place], text[place + 1 :].strip("/")
    for ancestor in Path(text).parents:
        if os.path.isfile(ancestor) or (ancestor.suffix in (".zarr", ".n5") and os.path.isdir(ancestor)):
            return str(ancestor), str(Path(text).relative_to(ancestor))
    head = given.rpartition(":")[0]
    missing = head if Path(head).suffix else given
    for above in (Path(missing), *Path(missing).parents):
        if os.path.islink(above) and not os.path.exists(above):
            raise InputError(f"{above} is a link to {os.readlink(above)}, which is not there")
    raise InputError(f"there is no file or folder {missing}")


def _split_remote(text: str) -> tuple[str, str]:
    named = re.match(r"^(.*\.(?:zarr|n5)/?):(.+)$", text) or re.match(r"^(.+://.+/.*[^/]):(\d+)$", text)
    return (named[1].rstrip("/"), named[2].strip("/")) if named else (text.rstrip("/"), "")
