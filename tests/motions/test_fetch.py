"""Fetching: from a folder, from a local server, and everything that can go wrong on the way."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mimic_base.errors import InputError
from mimic_base.limits import lifted
from motions.human.fetch import cmu, fetch_cmu, main

ASF = b":version 1.10\n:units\n:bonedata\n:hierarchy\n"
AMC = b":FULLY-SPECIFIED\n:DEGREES\n1\nroot 0 0 0 0 0 0\n"


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror" / "subjects" / "02"
    folder.mkdir(parents=True)
    (folder / "02.asf").write_bytes(ASF)
    (folder / "02_01.amc").write_bytes(AMC)
    return tmp_path / "mirror"


class _Server:
    """Answers from a table: path to (status, body, announced length)."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes, int]] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                status, body, length = outer.answers.get(self.path, (404, b"", 0))
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def put(self, path: str, body: bytes, status: int = 200, length: int | None = None) -> None:
        self.answers[path] = (status, body, len(body) if length is None else length)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    served = _Server()
    thread = threading.Thread(target=served.http.serve_forever, daemon=True)
    thread.start()
    served.put("/subjects/02/02.asf", ASF)
    served.put("/subjects/02/02_01.amc", AMC)
    yield served
    served.http.shutdown()
    served.http.server_close()


def _left_behind(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_fetch_from_a_folder(
    mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["CMU/2_1", "--out", str(out), "--base-url", mirror.as_uri()]) == 0
    assert (out / "cmu" / "02" / "02_01.amc").read_bytes() == AMC
    assert (out / "cmu" / "02" / "02.asf").read_bytes() == ASF
    said = capsys.readouterr().out
    assert "NSF EIA-0196217" in said and str(out / "cmu" / "02" / "02_01.amc") in said
    table = json.loads((out / "cmu" / "checksums.json").read_text())
    assert table["02/02_01.amc"] == hashlib.sha256(AMC).hexdigest()


def test_places_come_from_the_environment(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIMIC_CMU_URL", mirror.as_uri())
    monkeypatch.setenv("MIMIC_CACHE", str(tmp_path / "cache"))
    assert main(["cmu/02_01"]) == 0
    assert (tmp_path / "cache" / "cmu" / "02" / "02_01.amc").exists()


def test_what_is_there_is_not_asked_for_again(server: _Server, tmp_path: Path) -> None:
    amc, notes = fetch_cmu("02", "01", tmp_path, server.url)
    assert amc.read_bytes() == AMC and "recorded (none is published)" in notes[1]
    asked = len(server.asked)
    _, notes = fetch_cmu("02", "01", tmp_path, server.url)
    assert len(server.asked) == asked and "was there" in notes[0] and "as recorded" in notes[0]
    _, notes = fetch_cmu("02", "01", tmp_path, server.url, again=True)
    assert len(server.asked) == asked + 2 and "as recorded" in notes[1]


def test_a_changed_file_is_noticed(server: _Server, tmp_path: Path) -> None:
    amc, _ = fetch_cmu("02", "01", tmp_path, server.url)
    amc.write_bytes(AMC + b"2\n")
    with pytest.raises(InputError, match="changed since it was fetched .*--again"):
        fetch_cmu("02", "01", tmp_path, server.url)
    fetch_cmu("02", "01", tmp_path, server.url, again=True)
    assert amc.read_bytes() == AMC
    server.put("/subjects/02/02_01.amc", AMC + b"2\nroot 1 1 1 1 1 1\n")
    with pytest.raises(InputError, match="not the one that was fetched first"):
        fetch_cmu("02", "01", tmp_path, server.url, again=True)
    assert amc.read_bytes() == AMC


def test_nothing_half_fetched_is_left(server: _Server, tmp_path: Path) -> None:
    server.put("/subjects/02/02_01.amc", AMC[:20], length=len(AMC))
    with pytest.raises(InputError, match="cannot be fetched"):
        fetch_cmu("02", "01", tmp_path, server.url)
    assert _left_behind(tmp_path) == ["02/02.asf", "checksums.json"]


def test_other_failures_are_one_line(
    server: _Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.put("/subjects/02/02_01.amc", b"<html>sorry</html>")
    arguments = ["cmu/02_01", "cmu/03_01", "--out", str(tmp_path), "--base-url", server.url]
    assert main(arguments) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 2
    assert "something else than the clip" in errors[0] and "404" in errors[1]
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(InputError, match="cannot be fetched .*is there a network"):
        fetch_cmu("07", "02", tmp_path, server.url, timeout=2)
    with pytest.raises(InputError, match="no address to fetch from .found ftp"):
        fetch_cmu("07", "02", tmp_path, "ftp://somewhere")
    with pytest.raises(InputError, match="is there such a clip"):
        fetch_cmu("07", "02", tmp_path, tmp_path.as_uri())
    (tmp_path / "checksums.json").write_text("[1")
    with pytest.raises(InputError, match="not a readable list of checksums"):
        fetch_cmu("07", "02", tmp_path, tmp_path.as_uri())


@pytest.mark.parametrize("clip", ["02_01", "cmu/02", "cmu/2-1", "lafan/walk", "cmu/../x"])
def test_names_that_are_no_clips(clip: str) -> None:
    with pytest.raises(InputError, match="no such clip.*expected cmu/SUBJECT_TRIAL"):
        main([clip])


def test_no_clips_and_no_time() -> None:
    with pytest.raises(InputError, match="no clips given"):
        main([])
    with pytest.raises(InputError, match="--timeout must be above zero"):
        main(["cmu/02_01", "--timeout", "0"])


class _Strange(BaseHTTPRequestHandler):
    """A server that drips, floods, lies about lengths and sends one elsewhere."""

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        with contextlib.suppress(OSError):
            getattr(self, kind)()

    def _start(self, *headers: tuple[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def drip(self) -> None:
        self._start(("Content-Length", "500000"))
        for _ in range(100):
            self.wfile.write(b":bonedata ")
            self.wfile.flush()
            time.sleep(0.1)

    def header(self) -> None:
        for _ in range(100):
            self.wfile.write(b"H")
            self.wfile.flush()
            time.sleep(0.1)

    def flood(self) -> None:
        self._start()
        while True:
            self.wfile.write(b":bonedata\n" * 100_000)

    def announce(self) -> None:
        self._start(("Content-Length", "99999999999"))
        self.wfile.write(b":bonedata")

    def negative(self) -> None:
        self._start(("Content-Length", "-5"))
        self.wfile.write(b":bonedata")

    def file(self) -> None:
        self._start(("Location", "file:///etc/passwd"), status=302)

    def secure(self) -> None:
        self._start(("Location", "https://127.0.0.1:1/x"), status=302)

    def loop(self) -> None:
        self._start(("Location", self.path), status=302)

    def chain(self) -> None:
        self._start(("Location", f"{self.path}x"), status=302)

    def moved(self) -> None:
        self._start(("Location", self.path.replace("moved", "there")), status=302)

    def there(self) -> None:
        self._start()
        self.wfile.write(ASF if self.path.endswith("asf") else AMC)

    def escape(self) -> None:
        self.wfile.write(b"HTTP/1.0 404 \x1b]0;owned\x07\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def strange() -> Iterator[str]:
    served = ThreadingHTTPServer(("127.0.0.1", 0), _Strange)
    served.daemon_threads = True
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_address[1]}"
    served.shutdown()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("drip", "not all of it within 0.6 s.*--timeout"),
        ("header", "not all of it within 0.6 s.*--timeout"),
        ("flood", "--limit download="),
        ("announce", "--limit download="),
        ("negative", "a length of '-5'"),
        ("file", "file:///etc/passwd' is not allowed"),
        ("secure", "sends us on to https://127.0.0.1:1/x.*only http"),
        ("loop", "infinite loop"),
        ("chain", "infinite loop"),
        ("escape", r"404 \\x1b\]0;owned"),
    ],
)
def test_a_servers_whims_are_one_line(
    kind: str, said: str, strange: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    start = time.monotonic()
    timeout = 0.6 if kind in ("drip", "header") else 20.0
    with lifted(download=1 << 20), pytest.raises(InputError, match=said) as raised:
        fetch_cmu("02", "01", tmp_path, f"{strange}/{kind}", timeout=timeout)
    assert time.monotonic() - start < 5.0
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500
    assert _left_behind(tmp_path) == []


def test_a_collection_that_has_moved_is_followed(
    strange: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    amc, _ = fetch_cmu("02", "01", tmp_path, f"{strange}/moved")
    assert amc.read_bytes() == AMC


def test_the_way_is_protected_unless_told_otherwise() -> None:
    assert cmu.BASE_URL.startswith("https://")


def test_a_server_that_does_not_answer_over_tls_is_told_how_to_ask_without(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"without TLS is asked with --base-url http://localhost:9"
    ):
        fetch_cmu("07", "01", tmp_path, "https://localhost:9", timeout=5)
    assert _left_behind(tmp_path) == []
