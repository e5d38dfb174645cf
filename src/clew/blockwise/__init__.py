"""Boxes and tasks: runs any work that is cut into blocks.

It knows nothing of what the work computes.

`grid` and `block` say where blocks lie, `tasks` what a task is and in which order tasks may run, `store` where they read and
write. `engine` runs them by a `ledger` that remembers what is done, on the processes of `workers` or the jobs of `batch`;
`trouble` says in words what went wrong. Only this room knows Dask.
"""
