"""How much memory commands need where they hold volumes whole, as measured.

Messages say what to do where that is too much.
"""

from clew.memory import refuse_beyond_memory

WORK = {
    "extract-fragments": 29,
    "relabel": 10,
    "evaluate": 0,
    "evaluate --border": 8,
    "evaluate --where": 8,
    "evaluate --components": 17,
    "choose-threshold": 8,
    "convert": 2,
    "convert --dtype uint8": 8,
    "export-truth": 26,
    "verify-blocks": 42,
    "synthesize": 38,
}
"""Bytes for each voxel at the peak, beside what is read: outputs and working arrays, by command and option. Peak resident memory
of the commands on FIB-SEM of 16 and 63 megavoxels: the growth between them, rounded down, so that nothing is refused that fits."""
INSTEAD = {
    "predict": "give a smaller --tile",
    "extract-fragments": "use clew segment-blocks",
    "agglomerate": "use clew segment-blocks",
    "relabel": "use clew relabel-blocks, on what clew segment-blocks made",
    "segment": "use clew segment-blocks",
    "evaluate": "use clew evaluate-blocks, or give a --box",
    "evaluate --where": "give a --box; clew evaluate-blocks gives the scores of the whole, without places of errors",
    "choose-threshold": "give parts of the truth, cut out with clew convert --box",
    "convert": "use clew convert-blocks, or give a smaller --box",
    "export-truth": "give a smaller --box",
    "verify-blocks": "give a smaller --box",
    "synthesize": "give a smaller --shape",
    "train": "give a smaller --crop or --batch, or parts of the volumes, cut out with clew convert --box",
    "augment": "give a part of the volume, cut out with clew convert --box",
    "plan": "give parts of the volumes, cut out with clew convert --box",
    "predict-blocks": "give a smaller --tile, or fewer --workers",
    "segment-blocks": "give fewer --workers",
    "relabel-blocks": "give fewer --workers",
    "evaluate-blocks": "give fewer --workers",
    "convert-blocks": "give fewer --workers",
}
"""What to do by command, or command and option; every option and command named here exists, as a test looks up."""


def refuse_too_large(command: str, what: str, voxels: int, read: int) -> None:
    """Refuse a volume that a command cannot hold in memory, before it is read.

    Parameters
    ----------
    command : str
        With the option that counts.
    what : str
        The volume, for people.
    voxels : int
        That are read.
    read : int
        Bytes of each, of all volumes that are read.
    """
    refuse_beyond_memory((read + WORK[command]) * voxels, f"{command.split()[0]} of {what}", instead(*command.split()))


def instead(*words: str) -> str:
    """What to do where a command, the first among these words, needs too much memory."""
    return next(
        (INSTEAD[key] for key in (" ".join(words), *words) if key in INSTEAD), "free some, or take a machine with more"
    )
