"""What the stages of runs in blocks do, in words for people."""

STAGES = {
    "affinities": "predict the affinities of each block",
    "forest": "divide each block into pieces; join what blocks pass up, level by level",
    "face": "match the pieces on both sides of each face between blocks",
    "renames": "say what became of pieces that blocks passed up",
    "divided": "divide fragments that hold points of several sides",
    "final": "hand the names of fragments down, level by level",
    "fragments": "give every voxel the id of its fragment",
    "graph": "collect the contacts of each block, and merge what it can decide; then level by level",
    "tree_fragments": "put the merges of all blocks into one tree, level by level",
    "tree": "write down under which constraints the tree was made",
    "totals": "cut the tree at the threshold: add up the sizes of segments, level by level",
    "dust": "join small segments to their best neighbours: in each block, then level by level",
    "joined": "say which segments took small ones in, level by level",
    "segmentation": "give every voxel the id of its segment",
    "overlap": "count the overlap with the truth",
    "topology": "count the overlap away from borders",
    "annotated": "find the annotated sections",
    "volume": "copy each block",
    "segments": "find the segments of each block",
    "segment_table": "list all segments",
    "table": "list the segments with sizes and places",
    "nuclei": "count the overlap with nuclei",
    "surfaces": "find the surfaces in each block",
    "voxels": "find the voxels of each segment in each block",
    "meshes": "make the mesh of each segment",
    "skeletons": "make the skeleton of each segment",
    "tiff": "write the sections",
    "cremi": "write the file",
    "supervoxels": "find the fragments of each chunk",
    "edges": "write the contacts and components of each chunk",
    "ids": "find the ids of each block",
}
"""Of each stage, by its name in the ledger."""
COARSER = "the same at half the resolution"


def words_of(stage: str) -> str:
    """What a stage does; of a coarser scale (`segmentation-1`), that it is one."""
    name, _, scale = stage.partition("-")
    return COARSER if scale.isdecimal() else STAGES.get(name, "")
