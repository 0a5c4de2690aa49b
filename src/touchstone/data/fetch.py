"""Fetches a file from a mirror or its official address, and checks its hash before giving it its name."""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin

from tqdm import tqdm

from touchstone.errors import TouchstoneError, one_line

if TYPE_CHECKING:
    import requests

CHUNK_BYTES = 1 << 20
BACKOFF_S = 0.5  # doubled with each retry
TIMEOUT_S = (10, 60)  # to connect, between two reads
LEAST_DIGITS = 8  # of a hash


class _Broken(Exception):
    """An attempt that failed for a reason that may pass."""


def fetch(name: str, *, to: Path, url: str, mirror: str, sha256: str = "", md5: str = "", retries: int = 3) -> Path:
    """Put the file `name` at the path `to`, unless it is there with the right hash, and return that path.

    The file is taken from `mirror`, a directory or http(s) URL that holds `name`, or, where that is "", from `url`, its
    full address. The bytes go to `to` + ".part", which is renamed once the hash is right and removed on failure. The
    first eight digits of a hash are enough, since some publishers give no more.

    Raises TouchstoneError on a mirror without the file, an address that cannot be reached (after `retries` more
    attempts at 0.5, 1, 2 ... s), an HTTP error, a redirect from https to http, or a wrong hash; ValueError if neither
    hash is given, or too few digits of one.
    """
    expected = {kind: value.lower() for kind, value in (("sha256", sha256), ("md5", md5)) if value}
    if not expected:
        raise ValueError(f"{name}: sha256 or md5 must be given")
    if any(len(value) < LEAST_DIGITS for value in expected.values()):
        raise ValueError(f"{name}: a hash needs at least {LEAST_DIGITS} digits, got {expected}")
    if to.is_file() and not _wrong_hashes(to, expected):
        return to
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_name(to.name + ".part")
    try:
        origin = _get(name, part, url=url, mirror=mirror, retries=retries)
        for kind, got in _wrong_hashes(part, expected).items():
            raise TouchstoneError(
                f"{origin}: got {kind} {got}, expected {expected[kind]}; the file is damaged or another one; "
                f"try again, or set source.mirror to a directory or URL that holds the right {name}"
            )
        os.replace(part, to)
    finally:
        part.unlink(missing_ok=True)
    return to


def _get(name: str, part: Path, *, url: str, mirror: str, retries: int) -> str:
    """Write the file to `part` and return the address or path that it came from."""
    if mirror and not mirror.lower().startswith(("http://", "https://")):
        source = Path(mirror) / name
        if not source.is_file():
            raise TouchstoneError(_lacks(name, mirror))
        _save(_chunks(source), part, name=name, num_bytes=source.stat().st_size)
        return str(source)
    address = f"{mirror.rstrip('/')}/{quote(name)}" if mirror else url
    for attempt in range(retries + 1):
        try:
            _download(name, part, address=address, mirror=mirror)
            return address
        except _Broken as error:
            reason = str(error)
        if attempt < retries:
            time.sleep(BACKOFF_S * 2**attempt)
    raise TouchstoneError(f"{address}: not reached in {retries + 1} tries ({reason}); {_remedy(name)}")


def _download(name: str, part: Path, *, address: str, mirror: str) -> None:
    """Make one attempt. Raises `_Broken` if another may help, and TouchstoneError if not."""
    import requests
    import urllib3

    headers = {"Accept-Encoding": "identity"}
    hooks = {"response": _refuse_downgrade}
    try:
        with requests.get(address, stream=True, timeout=TIMEOUT_S, headers=headers, hooks=hooks) as response:
            status = f"HTTP {response.status_code} {response.reason or ''}".strip()
            if response.status_code >= 500 or response.status_code == 429:
                raise _Broken(status)
            if response.status_code == 404 and mirror:
                raise TouchstoneError(_lacks(name, mirror))
            if response.status_code != 200:
                raise TouchstoneError(f"{address}: got {status}, expected the file; {_remedy(name)}")
            num_bytes = int(response.headers.get("Content-Length") or 0)
            # Some servers declare a .tar.gz as gzip-encoded, and requests would unpack it.
            body = response.raw.stream(CHUNK_BYTES, decode_content=False)
            got = _save(_network(body, urllib3.exceptions.HTTPError), part, name=name, num_bytes=num_bytes)
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise TouchstoneError(f"{address}: {one_line(error)}; {_remedy(name)}") from error
    except requests.exceptions.RequestException as error:
        raise _Broken(one_line(error)) from error
    if num_bytes and got != num_bytes:
        raise _Broken(f"got {got} of {num_bytes} bytes")


def _network(body: Iterable[bytes], error_type: type[Exception]) -> Iterator[bytes]:
    """Yield the chunks of a body. An error while reading them, unlike one while writing them, becomes `_Broken`."""
    try:
        yield from body
    except (error_type, OSError) as error:
        raise _Broken(one_line(error)) from error


def _refuse_downgrade(response: "requests.Response", **_: object) -> None:
    """Refuse to leave https: a response hook of requests, called before a redirect is followed."""
    target = urljoin(response.url, response.headers.get("Location", ""))
    if response.is_redirect and response.url.startswith("https:") and not target.startswith("https:"):
        raise TouchstoneError(
            f"{response.url}: redirects from https to {target}, which is refused; set source.mirror to a directory "
            "or an https URL that holds the file"
        )


def _save(chunks: Iterable[bytes], part: Path, *, name: str, num_bytes: int) -> int:
    """Write the chunks to `part`, flush them to disk and return the number of bytes."""
    bar = tqdm(desc=name, total=num_bytes or None, unit="B", unit_scale=True, disable=None)  # None: only in a terminal
    try:
        with bar, part.open("wb") as out:
            for chunk in chunks:
                out.write(chunk)
                bar.update(len(chunk))
            out.flush()
            os.fsync(out.fileno())
            return out.tell()
    except OSError as error:
        raise TouchstoneError(f"{part}: cannot be written ({error}); check free space and permissions") from error


def _wrong_hashes(file: Path, expected: dict[str, str]) -> dict[str, str]:
    """Return kind -> hash of the file, for each kind whose first digits are not the expected ones."""
    wrong = {}
    for kind, digits in expected.items():
        with file.open("rb") as stream:
            got = hashlib.file_digest(stream, partial(hashlib.new, kind, usedforsecurity=False)).hexdigest()
        if not got.startswith(digits):
            wrong[kind] = got
    return wrong


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _lacks(name: str, mirror: str) -> str:
    return f"source.mirror: {mirror} holds no {name}; put the file there, or set '' to use the official address"


def _remedy(name: str) -> str:
    return f"set source.mirror to a directory or URL that holds {name}"
