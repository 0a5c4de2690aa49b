"""`touchstone repro` on an address that cannot be read, of which DVC only says that it does not exist."""

import http.server
import threading
from pathlib import Path

import pytest

from kit.project import project, run


class Forbidden(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(403)
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
def test_the_reason_is_the_only_line_of_the_error(tmp_path: Path) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Forbidden)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/birds.zip"
    folder = project(tmp_path / "p", f"source.path={address}", "data.source=folder", "data.channels=3")
    done = run("touchstone", "repro", "download", cwd=folder, check=False)
    server.shutdown()
    server.server_close()
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if line] == [
        f"error: source.path: {address}: cannot be read: 403: access denied; check your credentials, and that they may "
        "read it"
    ]
