"""`clew status`, `clew retry`: how far a run in blocks is, and on with it."""

from dataclasses import asdict
from pathlib import Path

from clew import pipeline
from clew.blockwise.worker_options import Workers
from clew.pipeline._block_run import State, begun_with, check_again, show_status
from clew.pipeline._declare import stage


@stage
def status(folder: str) -> State:
    """Show how far a run in blocks is: tasks done and failed, errors, time left.

    Parameters
    ----------
    folder
        Folder of a run in blocks, such as one of `segment-blocks`.
    """
    return show_status(Path(folder))


@stage
def retry(folder: str, *, worker_options: Workers) -> None:
    """Go on with a run in blocks; what was lost or damaged since is made again.

    The run goes on with the options it was begun with.

    Parameters
    ----------
    folder
        Folder of a run in blocks, such as one of `segment-blocks`.
    """
    command, keywords = begun_with(Path(folder))
    check_again(Path(folder))
    getattr(pipeline, command.replace("-", "_"))(**keywords | asdict(worker_options))
