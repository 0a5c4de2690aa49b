"""Why an address cannot be read, in a few words, from the errors of any of fsspec's file systems.

Most of them raise FileNotFoundError for everything, with the reason in an error behind it.
"""

import socket
import ssl
from collections.abc import Iterator

from touchstone.errors import one_line

DENIED = "check your credentials, and that they may read it"
STATUS = {
    400: ("the request is wrong", "check the address and the region"),
    401: ("not signed in", DENIED),
    403: ("access denied", DENIED),
    404: ("nothing there", "check the address"),
    410: ("nothing there any more", "check the address"),
    429: ("too many requests", "try again later"),
}
CODES = {"NoSuchBucket": 404, "NoSuchKey": 404, "AccessDenied": 403, "InvalidAccessKeyId": 403, "ExpiredToken": 403}
BUCKET = ("no such bucket", "check the address")
NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "TokenRetrievalError")


def explained(error: Exception) -> str:
    """Return `reason; remedy` in one line: an HTTP status, a bucket, credentials, a host's name or the connection."""
    for each in _chain(error):
        if reason := _of(each):
            return reason
    if isinstance(error, FileNotFoundError):
        return "nothing there; check the address"
    return f"{one_line(error)}; check the address, your credentials and the network"


def _of(error: BaseException) -> str:
    """Return the reason that one error of the chain gives; "" where it says nothing of its own."""
    kind, text = type(error).__name__, str(error)
    code = _code(error)
    if code == "NoSuchBucket" or "bucket does not exist" in text:
        return "; ".join(BUCKET)
    if kind in NO_CREDENTIALS:
        return f"no credentials; {DENIED}"
    status = CODES.get(code) or (int(code) if code.isdigit() else 0)
    if status in STATUS:
        reason, remedy = STATUS[status]
        return f"{status}: {reason}; {remedy}"
    if 400 <= status < 600:
        return f"{status}: the server fails; try again later"
    if isinstance(error, socket.gaierror):
        return "the name of the host is not resolved; check the address, the network and the proxy"
    if isinstance(error, TimeoutError) or "Timeout" in kind:  # asyncio's, aiohttp's, fsspec's and botocore's
        return "timeout: no answer in time; check the network and the proxy, or try again later"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nothing listens there; check the address and its port"
    if isinstance(error, ssl.SSLError):
        return f"no secure connection ({one_line(error)}); check the address and its certificate"
    if isinstance(error, PermissionError) or text.startswith("Forbidden"):
        return f"403: access denied; {DENIED}"
    return ""


def _code(error: BaseException) -> str:
    """Return the status or the name that an HTTP error of aiohttp, botocore or gcsfs carries."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        return str(response.get("Error", {}).get("Code", ""))
    code = getattr(error, "status", None) or getattr(error, "code", None)
    return str(code) if isinstance(code, int | str) and not isinstance(code, bool) else ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and those behind it."""
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen:
        seen.append(each)
        each = each.__cause__ or each.__context__
    yield from seen
