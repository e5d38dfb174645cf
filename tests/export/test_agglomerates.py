"""What WEBKNOSSOS reads of a merge tree: fragments of each segment, and the merges between them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clew.export.agglomerates import agglomerate_arrays, merges_inside
from clew.segmentation.agglomeration import MergeTree
from clew.segmentation.relabel import segment_lookup


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(0, 1))
def test_each_segment_is_one_connected_part(seed: int, count: int, threshold: float):
    rng = np.random.default_rng(seed)
    fragments = np.sort(rng.choice(10**12, count, replace=False)).astype(np.uint64) + np.uint64(1)
    regions, merges = list(range(count)), []
    for _ in range(rng.integers(0, count)):
        a, b = np.sort(rng.choice(len(regions), 2, replace=False))
        merges.append((fragments[regions[a]], fragments[regions[b]]))
        del regions[b]
    scores = np.sort(rng.integers(0, 65536, len(merges)))[::-1].astype(np.float32) / 65535
    tree = MergeTree(fragments, np.ones(count, np.int64), np.array(merges, np.uint64).reshape(-1, 2), scores, "mean")
    lookup, positions = segment_lookup(tree, threshold), rng.integers(0, 99, (count, 3))
    found = agglomerate_arrays(lookup, *merges_inside(tree, lookup), positions)
    of = found["segment_to_agglomerate"][1:].astype(int)
    assert len(set(of)) == len(set(lookup.tolist())) == len({*zip(of.tolist(), lookup.tolist(), strict=True)})
    starts, edge_starts = (found[f"agglomerate_to_{name}_offsets"].astype(int) for name in ("segments", "edges"))
    for segment in range(1, of.max() + 1):
        members = found["agglomerate_to_segments"][starts[segment] : starts[segment + 1]].astype(int)
        assert members.tolist() == (np.flatnonzero(of == segment) + 1).tolist()
        np.testing.assert_array_equal(
            found["agglomerate_to_positions"][starts[segment] : starts[segment + 1]], positions[members - 1][:, ::-1]
        )
        reached = {0}
        edges = found["agglomerate_to_edges"][edge_starts[segment] : edge_starts[segment + 1]].tolist()
        for _ in members:
            reached |= {end for edge in edges if reached & set(edge) for end in edge}
        assert reached == set(range(len(members)))
        assert len(edges) == len(members) - 1
