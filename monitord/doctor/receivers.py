"""Whom `[notify]` tells: what stands in the way of each receiver, without sending anything."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from monitord.config.telling import LOOPBACK, ReceiverSettings
from monitord.doctor.check import OK, WARNING, Check, Surroundings
from monitord.notify.errors import NotSentError
from monitord.notify.receivers import load
from monitord.notify.sending import url_of

_ALLOW = "sudo systemctl edit monitord  # [Service], IPAddressAllow=its address"
_HIDE = 'write it into a file of root\'s with mode 0600, then url = "file:/etc/monitord/{name}.url"'
_CONFIG = "etc/monitord/config.toml"
_UNIT = "etc/systemd/system/monitord.service"


def check_receivers(here: Surroundings) -> Iterator[Check]:
    """Each receiver's URL can be read, its program is trusted, its tool is there, its host may be reached."""
    for receiver in here.receivers:
        name = f"receiver {receiver.name}"
        try:
            reason = load(receiver.kind).check(receiver)
            url = url_of(receiver) if reason is None else ""
        except NotSentError as error:
            reason, url = str(error), ""
        if reason is not None:
            yield Check(name, WARNING, reason, f"monitord notify test {receiver.name}")
        elif _leads_away(url) and _is_locked_in(here):
            words = "the system's unit lets the recorder reach this machine alone"
            yield Check(name, WARNING, words, _ALLOW)
        elif (open_to_all := _read_by_all(receiver, here)) is not None:
            words = f"everybody on this machine can read its URL in {open_to_all}, and send in its name"
            yield Check(name, WARNING, words, _HIDE.format(name=receiver.name))
        else:
            yield Check(name, OK, f"{receiver.kind} {receiver.shown_url}".rstrip() + "; not tried here")


def _leads_away(url: str) -> bool:
    from urllib.parse import urlsplit

    return bool(url) and urlsplit(url).hostname not in LOOPBACK


def _read_by_all(receiver: ReceiverSettings, here: Surroundings) -> str | None:
    """The file with its URL that every user may read, as the machine's configuration usually is.

    A file that `url` names is refused when others may read it.
    """
    if not receiver.url or receiver.is_url_elsewhere or not _leads_away(receiver.url):
        return None
    further = sorted(Path(here.root, _CONFIG).parent.glob("conf.d/*.toml"))
    for name in (_CONFIG, *(str(path.relative_to(here.root)) for path in further)):
        try:
            is_open = bool(Path(here.root, name).stat().st_mode & stat.S_IROTH)
        except OSError:
            continue
        if is_open and receiver.url in (here.read(name) or ""):
            return f"/{name}"
    return None


def _is_locked_in(here: Surroundings) -> bool:
    """Whether the installed unit denies addresses, and no drop-in of the owner's allows any."""
    if "IPAddressDeny=any" not in (here.read(_UNIT) or ""):
        return False
    added = Path(here.root, f"{_UNIT}.d").glob("*.conf")
    return not any("IPAddressAllow=" in (here.read(f"{_UNIT}.d/{path.name}") or "") for path in added)
