"""Ports of this machine: find a free one, and ask whether a server answers."""

from __future__ import annotations

import socket

import httpx

from infra.local import names


def free_port(preferred: int = 0, used: set[int] | None = None, host: str = names.HOST) -> int:
    """Return the preferred port if it is free, else any free port; 0 means any. Adds the port to `used`."""
    used = set() if used is None else used
    for port in (preferred, 0):
        if port and port in used:
            continue
        with socket.socket() as probe:
            # Set this as servers do: a port whose last connections are closing counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            free = int(probe.getsockname()[1])
            used.add(free)
            return free
    raise OSError(f"no free port on {host}")


def answers(url: str, timeout_s: float = 1.0, body: str | None = None) -> bool:
    """Return whether a GET gives 200, with this `body` if one is given."""
    try:
        # Ignore the user's proxy: the parts are on one machine.
        answer = httpx.get(url, timeout=timeout_s, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK and body in (None, answer.text)
