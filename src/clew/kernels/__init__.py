"""Every hot loop: arrays and scalars in, arrays out.

Nothing here checks its input; public functions of the layers above do.

Nothing here checks its input: the public functions above do that once. A file has documented functions over private loops;
`_jit` has the decorators, with all flags of numba, and says what they cost; `_union_find`, `_table` and `_heap` are shared. Every
kernel has a slow, obvious twin in tests/naive.
"""
