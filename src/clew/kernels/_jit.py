"""One place owns all numba flags.

`kernel` marks a compiled loop that is called from Python; `bare_kernel` one without reference counts, which takes named tuples
of arrays at no cost but may not allocate (numba refuses to compile it); `inline` marks a small helper of kernels.
`prefetch(array, index)` asks for the cache line of array[index] before it is needed, and never waits.

Numba's cache looks only at the file of a kernel; clew's looks at the files that kernels share, too, so that nothing runs with
a helper that has changed since. Compiled kernels are kept beside the package, or in the home folder; where neither can be
written, in a folder for temporary files that nobody else can enter, for what lies there is executed; where there is none, they
are compiled each time.
"""

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit
from numba.core import cgutils, types
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.extending import intrinsic

SHARED = (
    "_flags.py",
    "_heap.py",
    "_jit.py",
    "_table.py",
    "_union_find.py",
    "agglomeration_layout.py",
    "agglomeration_scores.py",
    "cannot_link.py",
)
"""Files from which other kernels take helpers and constants."""
_STATE = hashlib.sha256(b"".join(Path(__file__).with_name(name).read_bytes() for name in SHARED)).hexdigest()


class _Index(IndexDataCacheFile):
    """What is kept of a compiled function.

    Whatever is wrong with it, the function is compiled anew: a cache of an earlier version names classes that have
    moved, a disk that was full leaves half a file. Two processes that begin with nothing choose the same name for a
    file, so that the index of one may name what the other wrote: each file says what it is.
    """

    def _load_index(self) -> dict[Any, str]:
        try:
            return super()._load_index()
        except Exception:
            return {}

    def save(self, key: Any, compiled: Any) -> None:
        """Keep the compiled function of this key, in the place of one of other sources."""
        super().save(key, (self._source_stamp, key, compiled))

    def load(self, key: Any) -> Any:
        """The compiled function of this key, or None."""
        try:
            stamp, kept, compiled = super().load(key)
        except Exception:
            return None
        return compiled if (stamp, kept) == (self._source_stamp, key) else None


class _KernelCache(FunctionCache):
    """Numba's cache, which a change of shared helpers makes out of date.

    A full disk is no reason to end.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        stamp = (self._impl.locator.get_source_stamp(), _STATE)
        self._cache_file = _Index(self._cache_path, self._impl.filename_base, stamp)

    def save_overload(self, signature: Any, compiled: Any) -> None:
        with contextlib.suppress(OSError):
            super().save_overload(signature, compiled)


def private_folder() -> str | None:
    """The folder for temporary files that is this user's alone.

    None where it cannot be had.
    """
    try:
        folder = Path(tempfile.gettempdir(), f"clew-kernels-{os.getuid()}")
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    alone = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return str(folder) if alone else None


def _keep_compiled(dispatcher: Any) -> Any:
    """Give a compiled function a cache, if there is a place for one."""
    if config.DISABLE_JIT:
        return dispatcher
    try:
        dispatcher._cache = _KernelCache(dispatcher.py_func)
    except RuntimeError:  # numba found no folder that can be written
        folder = private_folder()
        if folder and folder != config.CACHE_DIR:
            config.CACHE_DIR = folder
            return _keep_compiled(dispatcher)
    return dispatcher


def _compiler(**flags: Any) -> Callable[[Callable[..., Any]], Any]:
    compiler = njit(nogil=True, error_model="numpy", **flags)
    return lambda function: _keep_compiled(compiler(function))


kernel = _compiler()
bare_kernel = _compiler(_nrt=False)
inline = _compiler(inline="always")


def _prefetch(_: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        layout = context.make_array(signature.args[0])(context, builder, arguments[0])
        stride = cgutils.unpack_tuple(builder, layout.strides)[0]
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        line = builder.gep(builder.bitcast(layout.data, byte), [builder.mul(arguments[1], stride)])
        function = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        read, keep, data = number(0), number(3), number(1)
        builder.call(
            cgutils.get_or_insert_function(builder.module, function, "llvm.prefetch.p0"), [line, read, keep, data]
        )
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


def _nothing(array: Any, index: Any) -> None:
    """Python has nothing to wait for."""


at = np.uint64
"""`array[at(i)]`: an index that is known not to be negative; numba tests every signed one for it."""
prefetch = _nothing if config.DISABLE_JIT else intrinsic(_prefetch)
