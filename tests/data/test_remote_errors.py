"""Why an address cannot be read: each reason is said in one line, by servers on this machine."""

import http.server
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit.pictures import classes, lay
from touchstone.data import remote
from touchstone.data.remote import local, probe
from touchstone.data.remote_errors import explained
from touchstone.errors import TouchstoneError

READ = "cannot be read: "
DENIED = "access denied; check your credentials, and that they may read it"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the status in the path, such as /404/x.zip; 200 gives the file `archive`, 0 no answer."""

    archive: bytes
    ended: threading.Event

    def do_GET(self) -> None:
        status = int(self.path.split("/")[1])
        if status == 0:
            self.ended.wait()
            return
        body = self.archive if status == 200 else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a web server."""
    root = lay(tmp_path / "set", classes("cat", "dog"))
    Handler.archive = Path(shutil.make_archive(str(tmp_path / "set"), "zip", root)).read_bytes()
    Handler.ended = threading.Event()
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    started = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=started.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{started.server_port}"
    Handler.ended.set()
    started.shutdown()
    started.server_close()


def said(path: str, tmp_path: Path) -> str:
    """Return why an address cannot be read, once a copy and a probe say the same of it."""
    lines = []
    for attempt in (lambda: opened(path, tmp_path), lambda: probe(path)):
        with pytest.raises(TouchstoneError) as raised:
            attempt()
        lines.append(str(raised.value).removeprefix(f"source.path: {path}: ").removeprefix(READ))
    assert lines[0] == lines[1]
    assert "\n" not in lines[0]
    return lines[0]


def opened(path: str, tmp_path: Path) -> bytes:
    with local(path, beside=tmp_path / "raw") as found:
        return found.read_bytes()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "401: not signed in; check your credentials, and that they may read it"),
        (403, f"403: {DENIED}"),
        (404, "404: nothing there; check the address"),
        (410, "410: nothing there any more; check the address"),
        (503, "503: the server fails; try again later"),
    ],
)
def test_a_status_is_said(server: str, tmp_path: Path, status: int, reason: str) -> None:
    assert said(f"{server}/{status}/x.zip", tmp_path) == reason


def test_a_server_that_never_answers(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "READ_S", 0.2)
    reason = "timeout: no answer in time; check the network and the proxy, or try again later"
    assert said(f"{server}/0/x.zip", tmp_path) == reason


def test_hosts_and_ports(server: str, tmp_path: Path) -> None:
    assert said("http://nowhere.invalid/x.zip", tmp_path).startswith("the name of the host is not resolved; ")
    assert said("http://127.0.0.1:9/x.zip", tmp_path).startswith("connection refused: nothing listens there; ")
    assert said(server.replace("http:", "https:") + "/200/x.zip", tmp_path).startswith("no secure connection (")


def test_what_can_be_read_is_copied(server: str, tmp_path: Path) -> None:
    assert opened(f"{server}/200/x.zip", tmp_path) == Handler.archive
    probe(f"{server}/200/x.zip")


# gcsfs raises these with nothing behind them.
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError("b/birds/o"), "nothing there; check the address"),
        (OSError("Forbidden: b/birds/o"), f"403: {DENIED}"),
        (FileNotFoundError("The specified bucket does not exist"), "no such bucket; check the address"),
        (ValueError("odd\nthings"), "odd things; check the address, your credentials and the network"),
    ],
)
def test_errors_with_nothing_behind_them(error: Exception, reason: str) -> None:
    assert explained(error) == reason


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A server of S3 with the bucket birds; the function sets environment variables and forgets connections."""
    server = pytest.importorskip("moto.server", reason="moto, a server of S3 for tests, is not installed")
    s3fs = pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    started = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()

    def change(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()

    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    change(**keys, AWS_ENDPOINT_URL=f"http://{host}:{port}", NO_PROXY=host, AWS_MAX_ATTEMPTS="1")
    s3fs.S3FileSystem().mkdir("birds")
    yield change
    s3fs.S3FileSystem.clear_instance_cache()
    started.stop()


def test_buckets_and_credentials(
    s3: Callable[..., None], server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said("s3://none/x", tmp_path) == "no such bucket; check the address"
    assert said("s3://birds/none", tmp_path) == "nothing there; check the address"
    s3(AWS_ENDPOINT_URL=f"{server}/403")
    assert said("s3://birds/x", tmp_path) == f"403: {DENIED}"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    s3(AWS_EC2_METADATA_DISABLED="true", AWS_SHARED_CREDENTIALS_FILE=os.devnull, AWS_CONFIG_FILE=os.devnull)
    assert said("s3://birds/x", tmp_path).startswith("no credentials; check your credentials")


@pytest.mark.parametrize(("status", "reason"), [(404, "nothing there; check the address"), (403, f"403: {DENIED}")])
def test_googles_buckets(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, reason: str
) -> None:
    gcsfs = pytest.importorskip("gcsfs", reason="dvc-gs is not installed")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"{server}/{status}")
    gcsfs.GCSFileSystem.clear_instance_cache()
    assert said("gs://birds/set", tmp_path) == reason
    gcsfs.GCSFileSystem.clear_instance_cache()
