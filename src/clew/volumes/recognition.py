"""What a file is that clew does not read, or not under its name.

It is told by its first bytes, else by its suffix.
"""

from pathlib import Path

UNKNOWN = "of no known format"
CONVERT = "write it as TIFF or OME-Zarr with Fiji (Bio-Formats) or bioformats2raw"
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", "HDF5 (.h5)"),
    (512, b"\x89HDF\r\n\x1a\n", "HDF5 (.h5)"),
    (0, b"\x0e\x03\x13\x01", "HDF4, not HDF5: convert it with h4toh5"),
    (0, b"CDF\x01", "netCDF 3, not HDF5: convert it with nccopy -k nc4"),
    (0, b"CDF\x02", "netCDF 3, not HDF5: convert it with nccopy -k nc4"),
    (0, b"II*\0", "TIFF (.tif)"),
    (0, b"MM\0*", "TIFF (.tif)"),
    (0, b"II+\0", "TIFF (.tif)"),
    (0, b"MM\0+", "TIFF (.tif)"),
    (0, b"\x89PNG", "PNG (.png)"),
    (0, b"\xff\xd8\xff", "JPEG (.jpg)"),
    (0, b"\0\0\0\x0cjP", f"JPEG 2000: {CONVERT}"),
    (0, b"GIF8", "GIF: write it as TIFF with Fiji"),
    (0, b"BM", "a Windows bitmap (.bmp)"),
    (0, b"\x93NUMPY", "a numpy array (.npy)"),
    (0, b"NRRD", "NRRD (.nrrd)"),
    (208, b"MAP", "MRC (.mrc)"),
    (0, b"MATLAB 5.0", "MATLAB before 7.3: save it there again with save('file.mat', 'A', '-v7.3')"),
    (0, b"WKW", "WKW of WEBKNOSSOS: write it as zarr with webknossos (pip install webknossos)"),
    (0, b"ZISRAWFILE", f"CZI of Zeiss: {CONVERT}"),
    (0, b"\x70\0\0\0", f"LIF of Leica: {CONVERT}"),
    (0, b"\xda\xce\xbe\x0a", f"ND2 of Nikon: {CONVERT}"),
    (0, b"\0\0\0\x03\0", f"DM3 of Gatan: {CONVERT}"),
    (0, b"\0\0\0\x04\0", f"DM4 of Gatan: {CONVERT}"),
    (344, b"n+1", "NIfTI: write it as TIFF with Fiji, or as .npy with nibabel"),
    (128, b"DICM", f"DICOM: {CONVERT}"),
    (0, b"\x1f\x8b", "compressed with gzip: unpack it with gunzip, then try again"),
    (0, b"BZh", "compressed with bzip2: unpack it with bunzip2"),
    (0, b"\xfd7zXZ", "compressed with xz: unpack it with unxz"),
    (0, b"7z\xbc\xaf", "a 7z archive: unpack it first"),
    (0, b"PK\x03\x04", "a zip archive: unpack it first"),
    (257, b"ustar", "a tar archive: unpack it with tar xf"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the data: fetch them with git lfs pull"),
    (0, b"%PDF", "a PDF"),
    (0, b"<!DOCTYPE html", "a web page, not the data: the download went wrong"),
    (0, b"<!doctype html", "a web page, not the data: the download went wrong"),
    (0, b"<html", "a web page, not the data: the download went wrong"),
    (0, b"<?xml", "XML, not voxels"),
)
"""Offset, first bytes there, and what to say of such a file."""
SUFFIXES = {
    ".oib": f"a file of Olympus: {CONVERT}",
    ".oif": f"a file of Olympus: {CONVERT}",
    ".vsi": f"a file of Olympus: {CONVERT}",
    ".ser": f"a series of FEI: {CONVERT}",
    ".emi": f"a series of FEI: {CONVERT}",
    ".mnc": "MINC: convert it with mnc2nii, and that to TIFF with Fiji",
    ".vol": "raw voxels without a header: open it in Fiji (Import, Raw) and write a TIFF",
    ".raw": "raw voxels without a header: open it in Fiji (Import, Raw) and write a TIFF",
    ".am": "Amira: write it as TIFF with Amira or Fiji",
    ".swc": "skeletons, for clew evaluate-skeletons",
    ".nml": "skeletons, for clew evaluate-skeletons",
    ".mha": "MetaImage: write it as TIFF or NRRD with Fiji",
    ".mhd": "MetaImage: write it as TIFF or NRRD with Fiji",
    ".vss": "a segmentation of VAST: export it there as images",
    ".vsv": "an image stack of VAST: export it there as images",
    ".img": "NIfTI or Analyze: write it as TIFF with Fiji",
}
"""What to say of files that their first bytes do not tell apart."""


def content_of(path: str | Path) -> str:
    """What the first bytes say of a file; nothing where they say nothing."""
    with open(path, "rb") as file:
        head = file.read(1024)
    return next((text for start, mark, text in SIGNATURES if head[start:].startswith(mark)), "")


def what_is(path: str | Path) -> str:
    """What a file is and how to bring it in, as the end of a sentence "it is …"."""
    with open(path, "rb") as file:
        head = file.read(1024)
    if not head.strip(b"\0"):
        return "empty: it was cut off" if not head else "filled with zeros: copying it went wrong"
    content, by_suffix = content_of(path), SUFFIXES.get(Path(path).suffix.lower(), UNKNOWN)
    if content.endswith(")") and by_suffix == UNKNOWN:  # a format that is read under its suffix
        return f"{content}: rename it so"
    return by_suffix if not content or (content.startswith("TIFF") and by_suffix != UNKNOWN) else content


def reason(path: str | Path, said: str, *own: str) -> str:
    """Why a file cannot be read.

    Parameters
    ----------
    path : str or Path
    said : str
        What the library of its format says.
    own : str
        How `what_is` calls files of that format.

    Returns
    -------
    str
        What the file is instead, where that is known, else what the library says.
    """
    what = what_is(path)
    return said if what == UNKNOWN or what.startswith(own) else f"it is {what}"
