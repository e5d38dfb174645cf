"""Does cloud-volume read a run that is being proofread, before and after a merge? PYTHON SERVE.py: who serves it."""

import json
import socket
import subprocess
import sys
import urllib.request

import numpy as np
from cloudvolume import CloudVolume

FRAGMENT = 1 << 56
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
server = subprocess.Popen([*sys.argv[1:], str(port)], stdout=subprocess.PIPE, text=True)
try:
    address = server.stdout.readline().strip()
    volume = CloudVolume(address, progress=False, use_https=False, secrets={"token": "none"}, agglomerate=False)
    assert volume.shape[:3] == (96, 96, 16), volume.shape
    assert tuple(volume.resolution) == (4, 8, 40), volume.resolution
    found = np.asarray(volume[:, :, :])[..., 0]
    assert (found == FRAGMENT + np.repeat(np.arange(1, 7), 16)[:, None, None]).all(), "other fragments"
    nodes = [FRAGMENT + number for number in range(1, 7)]
    roots = [int(root) for root in volume.get_roots(nodes)]
    assert [roots.index(root) for root in roots] == [0, 0, 0, 3, 3, 3], roots
    leaves = {int(leaf) for leaf in volume.get_leaves(roots[0], volume.bounds, 0)}
    assert leaves == set(nodes[:3]), leaves
    points = [[str(nodes[2]), 40 * 4, 8, 40], [str(nodes[3]), 56 * 4, 8, 40]]
    url = address.removeprefix("graphene://").replace("/table/", "/api/v1/table/") + "/merge"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(points).encode())) as answer:
        (merged,) = json.loads(answer.read())["new_root_ids"]
    assert {int(root) for root in volume.get_roots(nodes)} == {int(merged)}, "the merge is not seen"
    print("cloud-volume reads fragments, segments and an edit of a run that is being proofread")
finally:
    server.terminate()
    server.wait()
