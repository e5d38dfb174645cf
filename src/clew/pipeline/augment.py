"""`clew augment`: an annotated volume → a picture of each augmentation."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.network.options import Shape
from clew.pipeline._annotated import read_annotated
from clew.pipeline._declare import stage
from clew.pipeline._options import Output, VoxelSize
from clew.pipeline._progress import say
from clew.pipeline._protection import refuse_overlap
from clew.replace import refuse_existing, written_beside
from clew.training.options import NO_AUGMENTATION, AugmentationOptions, TrainingOptions
from clew.training.sampling import Crop, Sampler, TrainingVolume, prepare_volume
from clew.view.augmentation import SheetRow, contact_sheet, save_sheet

COLUMNS = 5
SHOWN_SHARE = 0.5
"""Share of sections with a defect in the sheet, so that some of those shown have it and some have not."""
AUGMENTATIONS = {
    "mirror": ("mirror",),
    "transpose": ("transpose",),
    "rotate": ("rotate",),
    "scaling": ("scaling",),
    "elastic": ("elastic_jitter", "elastic_spacing"),
    "intensity scale": ("intensity_scale",),
    "intensity shift": ("intensity_shift",),
    "blur": ("blur",),
    "noise": ("noise",),
    "missing sections": ("missing_sections",),
    "faint sections": ("faint_sections",),
    "soiled sections": ("soiled_sections",),
    "slipped sections": ("slipped_sections", "largest_slip"),
    "shifted sections": ("shifted_sections", "largest_slip"),
}
"""Name of each row of the sheet, and the options that make it."""


@stage
def augment(
    data: str,
    *,
    preview: str,
    crop: Shape = TrainingOptions.crop,
    seed: int = 0,
    voxel_size: VoxelSize,
    augmentation_options: AugmentationOptions,
    output: Output,
) -> None:
    """Draw what each augmentation of training does to an annotated volume.

    A crop larger than the volume is cut down to it.

    Parameters
    ----------
    data
        Annotated volume, named as for train.
    preview
        Output, a PNG file with a row for each augmentation that is on: raw above labels.
    crop
        Voxels z,y,x of the crop that is drawn.
    seed
        Another seed shows other draws.
    """
    target = Path(preview)
    if target.suffix != ".png":
        raise InputError(f"the preview must be a PNG file, such as augmentation.png, not {preview}")
    refuse_overlap([data], [preview])
    refuse_existing(target, output.overwrite)
    volume = prepare_volume(read_annotated(data, voxel_size.voxel_size).volume, 0)
    z, y, x = (min(size, length) for size, length in zip(crop, volume.raw.shape, strict=True))
    training = TrainingOptions(seed=seed)
    sampler = Sampler((volume,), (z, y, x), (z, y, x), training, augmentation_options)
    center = sampler.sites[0].middle
    rows = [row for name in AUGMENTATIONS if (row := _row(name, sampler, center)) is not None]
    with written_beside(target, output.overwrite) as partial:
        save_sheet(contact_sheet(rows), partial)
    say(f"{len(rows)} augmentations of a crop of {z} x {y} x {x} voxels: {preview}")


def _row(name: str, sampler: Sampler, center: NDArray[np.float64]) -> SheetRow | None:
    """One augmentation as a row of pictures.

    Several sections of one draw if it goes by section, else one section of several draws.
    """
    options, names = sampler.augmentation, AUGMENTATIONS[name]
    of_sections = name.endswith("sections")
    if getattr(options, names[0]) == getattr(NO_AUGMENTATION, names[0]) or of_sections > options.serial_sections:
        return None
    kept: dict[str, Any] = {field: getattr(options, field) for field in names}
    if of_sections:
        kept[names[0]] = SHOWN_SHARE
    alone = replace(NO_AUGMENTATION, warp_probability=1.0, serial_sections=options.serial_sections, **kept)
    volume = sampler.volumes[0]
    plain = replace(sampler, augmentation=NO_AUGMENTATION).cut(volume, center, np.random.default_rng())
    changed = _changed_crops(replace(sampler, augmentation=alone), volume, center, plain)
    middle = len(plain.raw) // 2
    if of_sections or (options.serial_sections and name.startswith("intensity")):
        shown = slice(max(0, middle - COLUMNS // 2), middle - COLUMNS // 2 + COLUMNS)
        crop = next(crop for crop in changed if _mixed(crop, plain, shown) or not of_sections)
        captions = [f"section {z}" for z in range(len(crop.raw))[shown]]
        return SheetRow(name, captions, list(crop.raw[shown]), list(crop.labels[shown]))
    crops = [plain, *islice(changed, COLUMNS - 1)]
    captions = ["as it is", *(f"draw {number}" for number in range(1, COLUMNS))]
    return SheetRow(name, captions, [crop.raw[middle] for crop in crops], [crop.labels[middle] for crop in crops])


def _changed_crops(
    sampler: Sampler, volume: TrainingVolume, center: NDArray[np.float64], plain: Crop
) -> Iterator[Crop]:
    """Draws that differ from the plain crop, at the same place."""
    for number in count():
        crop = sampler.cut(volume, center, np.random.default_rng((sampler.options.seed, number)))
        if not np.array_equal(crop.raw, plain.raw):
            yield crop


def _mixed(crop: Crop, plain: Crop, shown: slice) -> bool:
    """Whether some of the sections shown are changed and others are not."""
    hit = (crop.raw != plain.raw).any(axis=(1, 2))[shown]
    return bool(hit.any() and not hit.all())
