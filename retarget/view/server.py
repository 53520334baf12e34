"""The server of the viewer's page: its address, and its quiet beginning and end."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import socket

import viser

from mimic_base.errors import InputError, input_error


def open_server(host: str, port: int, label: str) -> viser.ViserServer:
    """A server at exactly this address; port 0 takes any that is free.

    Raises:
        InputError: the address cannot be had.
    """
    # The library would take the next free port without a word.
    if port:
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
    # Its banner would name the address a second time.
    with contextlib.redirect_stdout(io.StringIO()):
        server = viser.ViserServer(host=host, port=port, label=label, verbose=False)
    if port and server.get_port() != port:
        close_server(server)
        raise InputError(f"--port {port} was taken in this moment; choose another")
    return server


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
