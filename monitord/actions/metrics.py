"""What the recorder and its store are in figures, for Prometheus: as one page, served, or into a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from monitord.actions import recorder
from monitord.actions.files import write_file
from monitord.actions.workspace import Workspace
from monitord.errors import MonitordError
from monitord.metrics.families import Family
from monitord.metrics.prometheus import require_extra, written
from monitord.metrics.recorder_families import recorder_families, store_families
from monitord.metrics.stored_families import stored_families
from monitord.storage.views import StoredTallies


def families(workspace: Workspace) -> tuple[Family, ...]:
    """Return every figure there is, without a recorder or a store those that are left."""
    reported = recorder.status(workspace)
    found = _tallies(workspace)
    return (
        *store_families(recorder.usage(workspace, reported)),
        *stored_families(found, reported),
        *recorder_families(reported),
    )


def text(workspace: Workspace) -> str:
    """Return all of them as Prometheus text (extra `metrics`)."""
    require_extra()
    return written(families(workspace))[0].decode()


def write_textfile(workspace: Workspace, path: Path) -> None:
    """Replace a file of node_exporter's textfile collector whole; another user reads it at any moment."""
    write_file(path, text(workspace).encode(), mode=0o644)


def serve(workspace: Workspace, port: int, unix_socket: Path | None, tell: Callable[[str], object]) -> None:
    """Serve them until SIGINT or SIGTERM: to this machine alone, unless systemd passed a socket.

    `tell` hears where. Raises BusyError where that place is taken.
    """
    require_extra()
    from monitord.http_server.serving import LOOPBACK, LOOPBACK_NAMES, hosts_at, inherited, listen, listen_at
    from monitord.http_server.serving import serve as serve_at
    from monitord.metrics.page import MetricsPage

    passed = inherited()
    listener = passed or (listen_at(unix_socket) if unix_socket else listen(LOOPBACK, port))
    hosts: list[str] | None = None  # a path or a unit says who may connect
    if passed is not None:
        where = "the socket that systemd passed"
    elif unix_socket is not None:
        where = str(unix_socket)
    else:
        port = listener.getsockname()[1]
        hosts = hosts_at(LOOPBACK_NAMES, port)
        where = f"http://{LOOPBACK}:{port}/metrics"

    def tidy() -> None:  # SIGTERM ends the process as soon as all is answered
        if passed is None and unix_socket is not None:
            unix_socket.unlink(missing_ok=True)

    with listener:
        tell(where)
        page = MetricsPage(lambda accept: written(families(workspace), accept), hosts)
        try:
            serve_at(page, listener, tidy)
        finally:
            tidy()


def _tallies(workspace: Workspace) -> StoredTallies | None:
    """None where nothing is stored yet, or the store can't be read: a figure says so."""
    try:
        with workspace.reader() as reader:
            return reader.tallies()
    except MonitordError:
        return None
