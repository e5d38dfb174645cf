"""One place owns all numba flags.

`kernel` marks a compiled loop that is called from Python; `inline` marks a small helper of kernels in the same file
(numba's cache does not notice a change in a callee that lives in another file, so a kernel and its helpers stay together).
`prefetch(array, index)` asks for the cache line of array[index] before it is needed, and never waits.
"""

from typing import Any

from llvmlite import ir
from numba import config, njit
from numba.core import cgutils, types
from numba.extending import intrinsic

kernel = njit(nogil=True, cache=True, error_model="numpy")
inline = njit(nogil=True, cache=True, error_model="numpy", inline="always")


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
