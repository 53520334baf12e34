"""The server of a page in the browser (viser): its address, its quiet beginning and end."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mimic_base.errors import InputError, input_error

if TYPE_CHECKING:
    import viser

INSTALL = "pip install -c constraints.txt -e '.[view]'"
DEFAULT_PORT = 8080


def require_viser(what: str = "the viewer") -> None:
    """Refuse to start without the package, or with one that is too old; it is not imported.

    Args:
        what: needs it, for the message.

    Raises:
        InputError: names the command that installs it.
    """
    import sys
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    try:
        # A package that is hidden stands as None among the modules.
        there = "viser" in sys.modules or find_spec("viser") is not None
        found = version("viser") if there and sys.modules.get("viser", there) else ""
    except (PackageNotFoundError, ValueError):
        found = ""
    if not found:
        raise InputError(f"{what} needs the package viser: {INSTALL}")
    if tuple(map(int, found.split(".")[:2])) < (1, 1):
        raise InputError(f"{what} needs viser 1.1 or newer (found {found}): {INSTALL}")


def check_port(host: str, port: int) -> None:
    """Refuse an address that cannot be had at this moment; port 0 takes any that is free.

    Raises:
        InputError: what cannot be used, and why.
    """
    if not 0 <= port < 65536:
        raise input_error(None, "--port must be 0 to 65535", found=port)
    if not port:
        return
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise input_error(
            None,
            f"--port {port} on {host} cannot be used: {reason}",
            fix=f"choose another: --port {port + 1}",
        ) from error


def open_server(host: str, port: int, label: str) -> viser.ViserServer:
    """A server at exactly this address; port 0 takes any that is free.

    Raises:
        InputError: the address cannot be had.
    """
    import viser

    # The library would take the next free port without a word.
    check_port(host, port)
    # Its banner would name the address a second time.
    with contextlib.redirect_stdout(io.StringIO()), _own_pages_alone(host):
        server = viser.ViserServer(host=host, port=port, label=label, verbose=False)
    if port and server.get_port() != port:
        close_server(server)
        raise InputError(f"--port {port} was taken in this moment; choose another")
    return server


@contextlib.contextmanager
def _own_pages_alone(host: str) -> Iterator[None]:
    """Let the server that is made within the block answer its own pages alone.

    A browser lets any site open a WebSocket to this machine; it only says whose page asks. The
    library takes them all, so that a stranger's site could press the buttons of ours.
    """
    import inspect

    from websockets.asyncio import server as module

    serve = module.serve

    def checked(*given: Any, process_request: Any = None, **options: Any) -> Any:
        async def answer(connection: Any, request: Any) -> Any:
            if not is_own(request.headers.get("Origin"), request.headers.get("Host"), host):
                return connection.respond(403, "asked by a page of another site\n")
            found = process_request(connection, request) if process_request else None
            return await found if inspect.isawaitable(found) else found

        return serve(*given, process_request=answer, **options)

    module.serve = checked  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        module.serve = serve


def is_own(origin: str | None, asked: str | None, host: str) -> bool:
    """Whether a request comes from a page of the server at ``host``.

    Args:
        origin: whose page asks, as browsers say; programs that are none say nothing.
        asked: the name and port by which the server was reached. At an address of this machine
            alone, it has to be one of this machine's: other names may be made to lead here.
    """
    if origin is not None and urlsplit(origin).netloc != asked:
        return False
    return not _is_loopback(host) or asked is None or _is_loopback(_name_of(asked))


def _name_of(asked: str) -> str:
    try:
        return urlsplit(f"//{asked}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or number alone; nobody is asked."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def close_server(server: viser.ViserServer) -> None:
    """End the server without its farewell on standard output."""
    with contextlib.redirect_stdout(io.StringIO()):
        server.stop()


def address(server: viser.ViserServer) -> str:
    """Where a browser on this machine finds the page."""
    host = server.get_host()
    shown = "localhost" if host in ("0.0.0.0", "::", "127.0.0.1") else host
    # An IPv6 address stands in brackets, or its colons would be read as the port's.
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{server.get_port()}"


def seen_by(host: str) -> str:
    """Who can look and steer at a server at this address, in words."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
        alone = all(ipaddress.ip_address(str(each).split("%")[0]).is_loopback for each in found)
    except (OSError, ValueError):
        alone = False
    if alone:
        return "this machine only; --host 0.0.0.0 lets others look"
    return "open to every machine that reaches this one, without a password"
