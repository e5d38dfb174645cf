"""One place owns all numba flags.

`kernel` marks a compiled loop that is called from Python; `inline` marks a small helper of kernels in the same file
(numba's cache does not notice a change in a callee that lives in another file, so a kernel and its helpers stay together).
`prefetch(array, index)` asks for the cache line of array[index] before it is needed, and never waits.

Compiled kernels are kept beside the package, or in the home folder; where neither can be written, in a folder for temporary
files that nobody else can enter, for what lies there is executed; where there is none, they are compiled each time.
"""

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba import config, njit
from numba.core import cgutils, types
from numba.core.caching import FunctionCache
from numba.extending import intrinsic


class _KernelCache(FunctionCache):
    """Numba's cache, but a full disk or quota is no reason to end."""

    def save_overload(self, signature: Any, compiled: Any) -> None:
        with contextlib.suppress(OSError):
            super().save_overload(signature, compiled)


def private_folder() -> str | None:
    """The folder for temporary files that is this user's alone; None where it cannot be had."""
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


prefetch = _nothing if config.DISABLE_JIT else intrinsic(_prefetch)
