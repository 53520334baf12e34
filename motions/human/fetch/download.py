"""One file from an address: whole or not at all, and the same as last time."""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from mimic_base.errors import InputError, input_error
from mimic_base.files import atomic_write_bytes, atomic_write_text
from mimic_base.limits import check_limit, limit, over_limit
from mimic_base.text import plain

CHECKSUMS = "checksums.json"
_SCHEMES = ("http", "https", "file")
_CHUNK = 1 << 14
_SNIFFED = 200_000


def fetch_file(
    url: str, folder: Path, name: str, mark: str, again: bool = False, timeout: float = 120.0
) -> str:
    """Bring `url` to `folder`/`name` unless it is there; returns a line of what was done.

    `mark` must stand in the text (in any case): a server's page of apology is no clip. The SHA-256
    of the first download is kept in `folder`/checksums.json; later files must agree with it.

    The whole takes `timeout` s at most, whatever the server does, and is no larger than the limit
    ``download``; redirections are followed within the scheme of the address only.

    Raises `InputError` for everything that goes wrong; nothing half-fetched is left behind.
    """
    path = folder / name
    known = _checksums(folder)
    recorded = known.get(name)
    if path.is_file() and not again:
        digest = _digest(path.read_bytes())
        if recorded is None:
            _record(folder, known, name, digest)
            return f"{name}: was there, sha256 {digest[:16]} recorded"
        if digest != recorded:
            raise input_error(
                path,
                "this file has changed since it was fetched",
                found=f"sha256 {digest[:16]}",
                expected=recorded[:16],
                fix="fetch it anew with --again",
            )
        return f"{name}: was there, sha256 {digest[:16]} as recorded"
    data = _get(url, timeout)
    if mark.lower() not in data[:_SNIFFED].decode("latin1").lower():
        raise input_error(
            url,
            "the server sent something else than the clip",
            found=repr(data[:40].decode("latin1")),
            expected=f"a text with {mark}",
            fix="is this the collection's address? see --base-url",
        )
    digest = _digest(data)
    if recorded is not None and digest != recorded:
        raise input_error(
            url,
            "the server's file is not the one that was fetched first",
            found=f"sha256 {digest[:16]}",
            expected=recorded[:16],
            fix=f"if the collection has changed it, delete its entry in {folder / CHECKSUMS}",
        )
    atomic_write_bytes(path, data)
    if recorded is None:
        _record(folder, known, name, digest)
        return f"{name}: {len(data)} bytes, sha256 {digest[:16]} recorded (none is published)"
    return f"{name}: {len(data)} bytes, sha256 {digest[:16]} as recorded"


def _get(url: str, timeout: float) -> bytes:
    """The content of an address, within `timeout` s in all and the limit ``download``."""
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in _SCHEMES:
        raise input_error(
            url, "no address to fetch from", found=scheme or "none", expected=", ".join(_SCHEMES)
        )
    # A name that is looked up, a handshake or a header, each may come a byte at a time: what is in
    # a thread of its own can be left behind.
    got: list[bytes | BaseException] = []
    end = time.monotonic() + timeout

    def work() -> None:
        try:
            got.append(_read(url, timeout, end))
        except BaseException as error:
            got.append(error)

    thread = threading.Thread(target=work, daemon=True, name="fetch")
    thread.start()
    thread.join(timeout)
    if not got:
        raise _too_slow(url, timeout)
    if isinstance(got[0], BaseException):
        raise got[0]
    return got[0]


def _read(url: str, timeout: float, end: float) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": "humanoid-mimic"})
    opener = urllib.request.build_opener(_SameScheme)
    most = limit("download")
    data = bytearray()
    try:
        with opener.open(request, timeout=timeout) as response:
            announced = response.headers.get("Content-Length")
            if announced is not None and not announced.strip().isdigit():
                raise _refusal(url, f"a length of {announced!r}", "try again later")
            if announced is not None:
                check_limit(url, "download", int(announced), "the announced size")
            while part := response.read(_CHUNK):
                data += part
                if len(data) > most:
                    raise over_limit(url, "download", None, "what the server sends")
                if time.monotonic() > end:
                    raise _too_slow(url, timeout)
    except InputError:
        raise
    except urllib.error.HTTPError as error:
        error.close()
        fix = "is there such a clip?" if error.code == 404 else "try again later"
        raise _refusal(url, f"{error.code} {plain(error.reason, 120)}", fix) from error
    except urllib.error.URLError as error:
        missing = isinstance(error.reason, FileNotFoundError | IsADirectoryError)
        fix = "is there such a clip?" if missing else "is there a network? see --base-url"
        if url.startswith("https:") and not missing:
            plainly = "http://" + urllib.parse.urlsplit(url).netloc
            fix = f"is there a network? A server without TLS is asked with --base-url {plainly}"
        raise _refusal(url, plain(error.reason, 200), fix) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _refusal(url, plain(error, 200) or type(error).__name__, "try again later") from error
    if announced is not None and int(announced) != len(data):
        raise _refusal(url, f"{len(data)} of {announced} bytes", "try again later")
    return bytes(data)


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows a server to another address of the same scheme only."""

    max_redirections = 5

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The request to go on with. Raises `InputError` where the scheme would change."""
        before, after = (urllib.parse.urlsplit(url).scheme for url in (req.full_url, newurl))
        if before != after:
            raise _refusal(
                req.full_url,
                f"the server sends us on to {plain(newurl, 120)}",
                f"only {before} addresses are followed; if that is its new place: --base-url",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _too_slow(url: str, timeout: float) -> InputError:
    return _refusal(url, f"not all of it within {timeout:g} s", "--timeout SECONDS gives it longer")


def _refusal(url: str, found: str, fix: str) -> InputError:
    return input_error(url, "cannot be fetched", found=found, fix=fix)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _checksums(folder: Path) -> dict[str, str]:
    path = folder / CHECKSUMS
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("not a table")
        return {str(k): str(v) for k, v in found.items()}
    except (ValueError, OSError) as error:
        raise input_error(
            path, "not a readable list of checksums", found=str(error), fix="delete it"
        ) from error


def _record(folder: Path, known: dict[str, str], name: str, digest: str) -> None:
    table = dict(sorted({**known, name: digest}.items()))
    atomic_write_text(folder / CHECKSUMS, json.dumps(table, indent=1) + "\n")
