"""Does ome-zarr-models read the labels that clew writes as labels, and raw and affinities as images? EXPORTS"""

import sys
from pathlib import Path

import ome_zarr_models

exports = Path(sys.argv[1])
kinds = {
    "segmentation.zarr": "ImageLabel", "segmented/fragments.zarr": "ImageLabel", "segmented/segmentation.zarr": "ImageLabel",
    "converted/volume.zarr": "ImageLabel", "affinities.zarr": "Image", "raw.zarr": "Image",
}  # fmt: skip
for name, kind in kinds.items():
    found = ome_zarr_models.open_ome_zarr(exports / name)
    assert type(found).__name__ == kind, f"{name} is {type(found).__name__}, not {kind}"
    scales = len(found.attributes.ome.multiscales[0].datasets)
    print(f"ome-zarr-models reads {name} as {kind} with {scales} scales")
