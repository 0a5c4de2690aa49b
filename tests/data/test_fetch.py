import hashlib
import io
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from touchstone.data import fetch as fetch_module
from touchstone.data.fetch import fetch
from touchstone.errors import TouchstoneError

CONTENT = b"touchstone" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Answers each path with the actions in `script`, repeating the last one; `asked` lists the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        actions = self.server.script.get(self.path, ["404"])
        getattr(self, f"do_{actions.pop(0) if len(actions) > 1 else actions[0]}")()

    def do_ok(self, declared: int = len(CONTENT), encoding: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(declared))
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.end_headers()
        self.wfile.write(CONTENT)

    def do_short(self) -> None:
        self.do_ok(declared=len(CONTENT) + 1)

    def do_gzip(self) -> None:
        self.do_ok(encoding="gzip")

    def do_unsized(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT)

    def do_hangup(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)

    def do_404(self) -> None:
        self.send_error(404)

    def do_403(self) -> None:
        self.send_error(403)

    def do_429(self) -> None:
        self.send_error(429)

    def do_503(self) -> None:
        self.send_error(503)

    def do_redirect(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/file")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that `fetch` would have waited between attempts; none are waited."""
    seconds: list[float] = []
    monkeypatch.setattr(fetch_module.time, "sleep", seconds.append)
    return seconds


def get(to: Path, **options: Any) -> Path:
    return fetch("file", to=to, **{"url": "", "mirror": "", "sha256": SHA256, **options})


def refused(to: Path, **options: Any) -> str:
    """The error's message; no file may have changed."""
    before = {file: file.read_bytes() for file in to.parent.glob("*") if file.is_file()}
    with pytest.raises(TouchstoneError) as raised:
        get(to, **options)
    assert {file: file.read_bytes() for file in to.parent.glob("*") if file.is_file()} == before
    assert "\n" not in str(raised.value)
    return str(raised.value)


def closed_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/file"


# --- where it comes from ---


@pytest.mark.parametrize("action", ["ok", "unsized", "gzip"])
def test_from_the_official_address(server: Server, tmp_path: Path, action: str) -> None:
    server.script["/file"] = [action]
    to = tmp_path / "new" / "folder" / "kept"
    assert get(to, url=f"{server.url}/file") == to
    assert to.read_bytes() == CONTENT
    assert [file.name for file in to.parent.iterdir()] == ["kept"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_from_a_mirrors_url(server: Server, tmp_path: Path, slash: str) -> None:
    server.script["/mirror/file"] = ["ok"]
    get(tmp_path / "kept", url=f"{server.url}/file", mirror=f"{server.url}/mirror{slash}")
    assert server.asked == ["/mirror/file"]


def test_from_a_mirrors_directory(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "file").write_bytes(CONTENT)
    assert get(tmp_path / "kept", url=closed_url(), mirror=str(mirror)).read_bytes() == CONTENT


def test_a_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    server.script.update({"/moved": ["redirect"], "/file": ["ok"]})
    get(tmp_path / "kept", url=f"{server.url}/moved")
    assert server.asked == ["/moved", "/file"]


@pytest.mark.parametrize("hashes", [{"sha256": SHA256}, {"sha256": "", "md5": MD5}, {"sha256": SHA256.upper()}])
def test_what_is_there_is_not_fetched(tmp_path: Path, hashes: dict[str, str]) -> None:
    (tmp_path / "kept").write_bytes(CONTENT)
    get(tmp_path / "kept", url=closed_url(), **hashes)


def test_what_is_there_with_another_hash_is_replaced(server: Server, tmp_path: Path) -> None:
    server.script["/file"] = ["ok"]
    (tmp_path / "kept").write_bytes(b"old")
    (tmp_path / "kept.part").write_bytes(b"left by a killed run, and longer than the file" * 1000)
    get(tmp_path / "kept", url=f"{server.url}/file", md5=MD5)
    assert (tmp_path / "kept").read_bytes() == CONTENT
    assert not (tmp_path / "kept.part").exists()


# --- retries ---


@pytest.mark.parametrize("action", ["503", "429", "short", "hangup"])
def test_what_may_pass_is_tried_again(server: Server, tmp_path: Path, slept: list[float], action: str) -> None:
    server.script["/file"] = [action, action, "ok"]
    assert get(tmp_path / "kept", url=f"{server.url}/file").read_bytes() == CONTENT
    assert slept == [0.5, 1.0]


def test_tries_end(server: Server, tmp_path: Path, slept: list[float]) -> None:
    server.script["/file"] = ["503"]
    message = refused(tmp_path / "kept", url=f"{server.url}/file", retries=2)
    assert len(server.asked) == 3
    assert f"{server.url}/file" in message
    assert "3 tries" in message
    assert "HTTP 503" in message
    assert "set source.mirror to a directory or URL that holds file" in message


def test_a_short_body_is_an_error(server: Server, tmp_path: Path, slept: list[float]) -> None:
    server.script["/file"] = ["short"]
    assert "not reached in 4 tries" in refused(tmp_path / "kept", url=f"{server.url}/file")


def test_without_network(tmp_path: Path, slept: list[float]) -> None:
    url = closed_url()
    message = refused(tmp_path / "kept", url=url)
    assert message.startswith(f"{url}: not reached in 4 tries")
    assert "set source.mirror to a directory or URL that holds file" in message


# --- refusals ---


def test_a_hash_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sha256 or md5 must be given"):
        fetch("file", to=tmp_path / "kept", url=closed_url(), mirror="")


@pytest.mark.parametrize(("kind", "got"), [("sha256", SHA256), ("md5", MD5)])
@pytest.mark.parametrize("there", [True, False])
def test_a_wrong_hash(server: Server, tmp_path: Path, kind: str, got: str, there: bool) -> None:
    server.script["/file"] = ["ok"]
    if there:
        (tmp_path / "kept").write_bytes(b"old")
    expected = "0" * len(got)
    message = refused(tmp_path / "kept", url=f"{server.url}/file", **{"sha256": "", kind: expected})
    assert f"got {kind} {got}, expected {expected}" in message
    assert f"{server.url}/file" in message
    assert "source.mirror" in message


def test_both_hashes_are_checked(server: Server, tmp_path: Path) -> None:
    server.script["/file"] = ["ok"]
    assert "got md5" in refused(tmp_path / "kept", url=f"{server.url}/file", md5="0" * 32)


@pytest.mark.parametrize("status", ["404", "403"])
def test_a_client_error_is_final(server: Server, tmp_path: Path, slept: list[float], status: str) -> None:
    server.script["/file"] = [status]
    message = refused(tmp_path / "kept", url=f"{server.url}/file")
    assert server.asked == ["/file"]
    assert f"{server.url}/file: got HTTP {status}" in message
    assert "set source.mirror" in message


def test_a_mirror_without_the_file_is_not_bypassed(server: Server, tmp_path: Path) -> None:
    server.script["/file"] = ["ok"]
    for mirror in (f"{server.url}/mirror", str(tmp_path / "nowhere"), str(tmp_path)):
        message = refused(tmp_path / "kept", url=f"{server.url}/file", mirror=mirror)
        assert message.startswith(f"source.mirror: {mirror} holds no file")
    assert server.asked == ["/mirror/file"]


@pytest.mark.parametrize("url", ["http://", "ftp://127.0.0.1/file", "file"])
def test_no_address(tmp_path: Path, url: str) -> None:
    assert "set source.mirror" in refused(tmp_path / "kept", url=url, retries=0)


@pytest.mark.parametrize("target", ["http://example.invalid/file", "//example.invalid/file", "ftp://example.invalid/f"])
def test_https_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    asked = []

    def send(self: object, request: requests.PreparedRequest, **_: object) -> requests.Response:
        asked.append(request.url)
        response = requests.Response()
        response.status_code = 302 if len(asked) == 1 else 404
        response.url, response.request = str(request.url), request
        response.headers["Location"] = target
        response.raw = io.BytesIO()
        return response

    monkeypatch.setattr("requests.adapters.HTTPAdapter.send", send)
    message = refused(tmp_path / "kept", url="https://example.invalid/file")
    if target.startswith("//"):  # https as before
        assert asked == ["https://example.invalid/file"] * 2
    else:
        assert asked == ["https://example.invalid/file"]
        assert f"redirects from https to {target}" in message


def test_a_full_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(28, "No space left on device")

    server.script["/file"] = ["ok"]
    monkeypatch.setattr(fetch_module.os, "fsync", fsync)
    message = refused(tmp_path / "kept", url=f"{server.url}/file")
    assert "No space left on device" in message
    assert server.asked == ["/file"]
