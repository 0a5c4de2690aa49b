"""Fetching a file from a mirror or its official address, and checking its hash before it gets its name."""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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
LEAST_DIGITS = 8  # that must be given of a hash


class _Broken(Exception):
    """An attempt that failed for a reason that may pass."""


def fetch(name: str, *, to: Path, url: str, mirror: str, sha256: str = "", md5: str = "", retries: int = 3) -> Path:
    """Put the file `name` at the path `to` and return that path.

    `mirror`, unless it is "", is a directory or http(s) URL that holds `name`, and the only place where the file is
    sought; otherwise `url` is the file's full address. Nothing is fetched if `to` has the right hash already. The bytes
    go to `to` + ".part", which is renamed once the hash is right and removed if anything fails. The first digits of a
    hash are enough, at least eight, since some publishers give no more.

    Raises TouchstoneError on a mirror without the file, an address that cannot be reached (after `retries` more
    attempts at 0.5, 1, 2 ... s), an HTTP error, a redirect from https to http, or a wrong hash; ValueError if neither
    hash is given, or too few digits of one.
    """
    expected = {kind: value.lower() for kind, value in (("sha256", sha256), ("md5", md5)) if value}
    if not expected:
        raise ValueError(f"{name}: sha256 or md5 must be given")
    if any(len(value) < LEAST_DIGITS for value in expected.values()):
        raise ValueError(f"{name}: a hash needs at least {LEAST_DIGITS} digits, got {expected}")
    if to.is_file() and not _wrong(_hashes(_chunks(to), expected), expected):
        return to
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_name(to.name + ".part")
    try:
        origin = _get(name, part, url=url, mirror=mirror, retries=retries)
        _check(name, origin, got=_hashes(_chunks(part), expected), expected=expected)
        os.replace(part, to)
    finally:
        part.unlink(missing_ok=True)
    return to


def _get(name: str, part: Path, *, url: str, mirror: str, retries: int) -> str:
    """Write the file to `part` and return the address or path that it came from."""
    if mirror and not _is_url(mirror):
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
    """Make one attempt. Raises `_Broken` if another may help, and `TouchstoneError` if not."""
    import requests
    import urllib3

    headers = {"Accept-Encoding": "identity"}
    hooks = {"response": _refuse_downgrade}
    try:
        with requests.get(address, stream=True, timeout=TIMEOUT_S, headers=headers, hooks=hooks) as response:
            _check_status(response, name, address=address, mirror=mirror)
            num_bytes = int(response.headers.get("Content-Length") or 0)
            # The bytes as they lie on the server: some servers declare a .tar.gz as gzip-encoded, and requests would
            # unpack it.
            body = response.raw.stream(CHUNK_BYTES, decode_content=False)
            got = _save(_network(body, urllib3.exceptions.HTTPError), part, name=name, num_bytes=num_bytes)
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise TouchstoneError(f"{address}: {one_line(error)}; {_remedy(name)}") from error
    except requests.exceptions.RequestException as error:
        raise _Broken(one_line(error)) from error
    if num_bytes and got != num_bytes:
        raise _Broken(f"got {got} of {num_bytes} bytes")


def _network(body: Iterable[bytes], error_type: type[Exception]) -> Iterator[bytes]:
    """Yield the chunks of a body. An error while reading them, as opposed to writing them, becomes `_Broken`."""
    try:
        yield from body
    except (error_type, OSError) as error:
        raise _Broken(one_line(error)) from error


def _check_status(response: "requests.Response", name: str, *, address: str, mirror: str) -> None:
    status = f"HTTP {response.status_code} {response.reason or ''}".strip()
    if response.status_code >= 500 or response.status_code == 429:
        raise _Broken(status)
    if response.status_code == 404 and mirror:
        raise TouchstoneError(_lacks(name, mirror))
    if response.status_code != 200:
        raise TouchstoneError(f"{address}: got {status}, expected the file; {_remedy(name)}")


def _refuse_downgrade(response: "requests.Response", **_: object) -> None:
    """Refuse to leave https; a response hook of requests, called before a redirect is followed."""
    target = urljoin(response.url, response.headers.get("Location", ""))
    if response.is_redirect and response.url.startswith("https:") and not target.startswith("https:"):
        raise TouchstoneError(
            f"{response.url}: redirects from https to {target}, which is refused; set source.mirror to a directory "
            "or an https URL that holds the file"
        )


def _save(chunks: Iterable[bytes], part: Path, *, name: str, num_bytes: int) -> int:
    """Write the chunks to `part`, flush them to disk and return the number of bytes."""
    # disable=None shows the bar in a terminal only.
    bar = tqdm(desc=name, total=num_bytes or None, unit="B", unit_scale=True, disable=None)
    with bar, _writing(part), part.open("wb") as out:
        for chunk in chunks:
            out.write(chunk)
            bar.update(len(chunk))
        out.flush()
        os.fsync(out.fileno())
        return out.tell()


@contextmanager
def _writing(part: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TouchstoneError(f"{part}: cannot be written ({error}); check free space and permissions") from error


def _check(name: str, origin: str, *, got: dict[str, str], expected: dict[str, str]) -> None:
    for kind in _wrong(got, expected):
        raise TouchstoneError(
            f"{origin}: got {kind} {got[kind]}, expected {expected[kind]}; the file is damaged or another one; "
            f"try again, or set source.mirror to a directory or URL that holds the right {name}"
        )


def _wrong(got: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Return the kinds of hash that differ from the expected digits."""
    return [kind for kind, value in expected.items() if not got[kind].startswith(value)]


def _hashes(chunks: Iterable[bytes], kinds: Iterable[str]) -> dict[str, str]:
    digests = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}
    for chunk in chunks:
        for digest in digests.values():
            digest.update(chunk)
    return {kind: digest.hexdigest() for kind, digest in digests.items()}


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _is_url(mirror: str) -> bool:
    return mirror.lower().startswith(("http://", "https://"))


def _lacks(name: str, mirror: str) -> str:
    return f"source.mirror: {mirror} holds no {name}; put the file there, or set '' to use the official address"


def _remedy(name: str) -> str:
    return f"set source.mirror to a directory or URL that holds {name}"
