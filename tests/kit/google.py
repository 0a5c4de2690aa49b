"""A server of Google's storage on this machine, as far as reading goes: what a bucket holds, and an object's bytes.

Source: Google's JSON API, resources `Objects: list` and `Objects: get`.
"""

import base64
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit

API, DOWNLOAD = "/storage/v1/b/", "/download/storage/v1/b/"


class Bucket(http.server.ThreadingHTTPServer):
    """A bucket of one name; its content is the dictionary `objects`, which a test may change."""

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name, self.objects = name, dict[str, bytes]()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def described(self, name: str) -> dict[str, object]:
        digest = hashlib.md5(self.objects[name]).digest()
        md5 = base64.b64encode(digest).decode()
        return {
            "kind": "storage#object", "bucket": self.name, "name": name, "size": str(len(self.objects[name])),
            "md5Hash": md5, "etag": digest.hex(), "generation": "1", "contentType": "application/octet-stream",
            "timeCreated": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
        }  # fmt: skip

    def listed(self, prefix: str, delimiter: str) -> dict[str, object]:
        items, folders = [], set()
        for name in sorted(self.objects):
            inside = name.removeprefix(prefix)
            if not name.startswith(prefix):
                continue
            if delimiter and delimiter in inside:
                folders.add(prefix + inside.partition(delimiter)[0] + delimiter)
            else:
                items.append(self.described(name))
        return {"kind": "storage#objects", "items": items, "prefixes": sorted(folders)}


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Bucket

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(path.query).items()}
        is_download = path.path.startswith(DOWNLOAD) or query.get("alt") == "media"
        inside = path.path.removeprefix("/download").removeprefix(API)
        bucket, _, rest = inside.partition("/")
        name = unquote(rest.removeprefix("o/"))
        if bucket == self.server.name and rest in ("o", "o/"):
            self._answer(200, self.server.listed(query.get("prefix", ""), query.get("delimiter", "")))
        elif bucket != self.server.name or name not in self.server.objects:
            self._answer(404, {"error": {"code": 404, "message": "Not Found"}})
        else:
            self._answer(200, self.server.objects[name] if is_download else self.server.described(name))

    def _answer(self, status: int, content: dict[str, object] | bytes) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header(
            "Content-Type", "application/octet-stream" if isinstance(content, bytes) else "application/json"
        )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def google_bucket(name: str) -> Iterator[Bucket]:
    """Serve an empty bucket for as long as the block runs."""
    with Bucket(name) as bucket:
        threading.Thread(target=bucket.serve_forever, daemon=True).start()
        try:
            yield bucket
        finally:
            bucket.shutdown()
