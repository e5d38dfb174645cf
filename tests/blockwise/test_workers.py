"""Workers of a run let nobody in, and see no file that others can write."""

import os
import socket
import ssl
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import dask
import psutil
import pytest
from distributed import Client, LocalCluster, Security

from clew.blockwise.batch import NO_PAGES
from clew.blockwise.worker_options import Workers
from clew.blockwise.workers import Pool, started
from clew.errors import InputError

PAGES = ("", "status", "info/main/workers.html", "json/identity.json", "health", "metrics", "statics/css/base.css")


def listening() -> list[tuple[str, int]]:
    """Addresses and ports that this process and its children listen on."""
    own = psutil.Process()
    found = [each for process in (own, *own.children(recursive=True)) for each in process.net_connections("inet")]
    return [each.laddr for each in found if each.status == psutil.CONN_LISTEN]


@pytest.fixture(scope="module")
def before() -> set[int]:
    return {port for _, port in listening()}


@pytest.fixture(scope="module")
def pool(before: set[int]) -> Iterator[Pool]:
    with started(Workers(workers=1), 0) as pool:
        pool.executor.submit(os.getpid).result()
        yield pool


def scheduler_of(pool: Pool) -> str:
    return str(pool.executor._client.scheduler.address)


def test_others_of_this_machine_cannot_join(pool: Pool):
    address = scheduler_of(pool).replace("tls://", "tcp://")
    with pytest.raises(OSError, match="closed|reset|[Tt]imed out"):
        Client(address, timeout=2)
    workers = pool.executor._client.scheduler_info(n_workers=-1)["workers"]
    servers = [scheduler_of(pool), *workers, *(facts["nanny"] for facts in workers.values())]
    assert len(servers) == 3
    for server in servers:
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED|UNKNOWN_CA"):
            shake_hands(server)


def shake_hands(address: str) -> bytes:
    """What a server answers to a client that trusts it, and has no certificate of it."""
    host, port = address.removeprefix("tls://").split(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, int(port)), 5) as plain, context.wrap_socket(plain) as secured:
        return secured.recv(1)


def test_scheduler_and_workers_listen_on_the_loopback_device_without_a_dashboard(pool: Pool, before: set[int]):
    places = [(address, port) for address, port in listening() if port not in before]
    assert {address for address, _ in places} == {"127.0.0.1"}
    refused = 0
    for _, port in places:
        for page in PAGES:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/{page}", headers={"Host": "elsewhere.org"})
            with pytest.raises((urllib.error.URLError, ConnectionError, OSError)) as caught:
                urllib.request.urlopen(request, timeout=2)
            refused += getattr(caught.value, "code", None) == 404
    assert refused == 2 * len(PAGES), "the two web servers, of scheduler and worker"
    assert pool.dashboard == ""


def test_no_folder_of_others_is_on_the_path_of_python(pool: Pool):
    shared = Path(tempfile.gettempdir())
    found = {Path(entry) for entry in (*sys.path, *pool.executor.submit(path_of_python).result())}
    scratch = {shared / entry.relative_to(shared).parts[0] for entry in found if "dask-scratch-space" in str(entry)}
    assert scratch
    for folder in scratch:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert folder.stat().st_uid == os.getuid()


def path_of_python() -> list[str]:
    return sys.path


def test_a_scheduler_with_certificates(tmp_path: Path):
    keys = Security.temporary()
    files = {"ca-file": keys.tls_ca_file, "client.cert": keys.tls_client_cert, "client.key": keys.tls_client_key}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    settings = {f"distributed.comm.tls.{name}": str(tmp_path / name) for name in files}
    options = {"n_workers": 1, "processes": False, "protocol": "tls://", "dashboard_address": None}
    with LocalCluster(security=keys, scheduler_kwargs=NO_PAGES, **options) as cluster:
        workers = Workers(scheduler=cluster.scheduler_address)
        with pytest.raises(InputError, match="asks for certificates: name their files in DASK_"), started(workers, 0):
            pass
        with dask.config.set(settings), started(workers, 0) as pool:
            assert pool.executor.submit(sum, [1, 2]).result() == 3


@pytest.mark.parametrize("address", ["nonsense", "", "tcp://", "foo://node7:8786", "tcp://127.0.0.1:port"])
def test_an_invalid_scheduler_address_is_refused(address: str):
    with pytest.raises(InputError, match="is no address of a Dask scheduler"), started(Workers(scheduler=address), 1):
        pass
