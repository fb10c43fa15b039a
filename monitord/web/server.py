"""The page's server: under which names it answers, the token that opens it, how a browser is led to it."""

from __future__ import annotations

import html
import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitord.actions.underway import CapturesUnderway
from monitord.actions.workspace import Workspace
from monitord.durable import durable_write
from monitord.errors import UsageError
from monitord.http_server.serving import LOOPBACK_NAMES, hosts_at, listen, listen_at, serve
from monitord.web.application import Answers, application
from monitord.web.guard import Credentials, Guard

_NAME = re.compile(r"([A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
_OPENER = """\
<!DOCTYPE html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>monitord</title>
<meta http-equiv="refresh" content="0; url={url}"><p><a href="{url}">monitord</a></p>
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen: a port of an address, or a unix socket; `names` lead there besides, as a proxy's."""

    address: str = "127.0.0.1"
    port: int = 0
    unix_socket: Path | None = None
    names: Sequence[str] = ()

    def listen(self) -> socket.socket:
        """Listen there; raises UsageError for an invalid address or name, BusyError where it is taken."""
        for name in self.names:
            if not _NAME.fullmatch(name):
                raise UsageError(f"invalid name {name!r}, expected one like page.example or [::1]:8443")
        if self.unix_socket is not None:
            return listen_at(self.unix_socket)
        try:
            ipaddress.ip_address(self.address)
        except ValueError:
            raise UsageError(
                f"invalid address {self.address!r}, expected one like 127.0.0.1 or ::1"
            ) from None
        return listen(self.address, self.port)

    @property
    def is_local(self) -> bool:
        """Whether nobody on another machine reaches it."""
        return self.unix_socket is not None or ipaddress.ip_address(self.address).is_loopback

    def hosts(self, port: int) -> list[str]:
        """The values of Host under which it answers."""
        if self.unix_socket is not None:
            return list(self.names) or ["localhost"]
        own = ipaddress.ip_address(self.address).compressed
        local = (*LOOPBACK_NAMES, f"[{own}]" if ":" in own else own)
        return [*hosts_at(local, port), *self.names]

    def url(self, port: int) -> str:
        """The address to open; behind a proxy, its first name."""
        if self.unix_socket is not None:
            return f"http://{self.hosts(port)[0]}/"
        if ipaddress.ip_address(self.address).is_unspecified:
            return f"http://127.0.0.1:{port}/"
        return f"http://{self.hosts(port)[3]}/"


@dataclass(slots=True)
class Server:
    """A page that is ready to be served on a listening socket."""

    workspace: Workspace
    place: Place
    token: str
    allows_actions: bool = False

    def run(self, listener: socket.socket, on_end: Callable[[], object] = int) -> None:
        """Serve until SIGINT or SIGTERM, which `on_end` hears of: SIGTERM ends the process here."""
        port = self.port(listener)
        captures = CapturesUnderway()
        answers = Answers(self.workspace, captures, allows_actions=self.allows_actions)
        credentials = Credentials(self.token, cookie_name=f"monitord_{port}")

        def end() -> None:
            captures.end()
            on_end()

        try:
            serve(Guard(application(answers), credentials, self.place.hosts(port)), listener, end)
        finally:
            answers.end()

    def port(self, listener: socket.socket) -> int:
        """The port that was had; 0 for a unix socket."""
        return 0 if self.place.unix_socket is not None else int(listener.getsockname()[1])

    def url(self, listener: socket.socket) -> str:
        """The address with the token, in the part that no request carries."""
        return f"{self.place.url(self.port(listener))}#token={self.token}"


def opener(path: Path, url: str) -> None:
    """Write a page that leads to `url`, for its owner alone: all can read a browser's arguments."""
    durable_write(path, _OPENER.format(url=html.escape(url, quote=True)).encode("utf-8"), keeps_mode=False)
