"""IP and MAC addresses in text, in the spellings that host names and file names use too."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

# Told the kind (`ip-private`, `ip-public`, `mac`) and the canonical spelling; gives the pseudonym.
Rename = Callable[[str, str], str]

_MAC = re.compile(
    r"(?<![0-9A-Fa-f])(?<![0-9A-Fa-f][:_-])[0-9A-Fa-f]{2}([:_-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?!\1?[0-9A-Fa-f])"
)
_V4 = re.compile(
    r"(?<![0-9])(?<![0-9][._-])[0-9]{1,3}([._-])[0-9]{1,3}\1[0-9]{1,3}\1[0-9]{1,3}(?![0-9])(?![._-][0-9])"
)
_V6 = re.compile(
    r"(?<![\w:.])[0-9A-Fa-f]{0,4}+:[0-9A-Fa-f:]{1,38}+(?:[0-9]{0,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})?(?![\w:])"
)


def hide_addresses(text: str, rename: Rename) -> str:
    """Replace addresses that identify somebody; loopback and unspecified ones say nothing and stay."""
    if ":" in text or "-" in text or "_" in text:
        text = _MAC.sub(lambda found: _mac(found, rename), text)
    text = _V4.sub(lambda found: _ip(found[0], found[0].replace(found[1], "."), rename), text)
    if text.count(":") >= 2:
        text = _V6.sub(lambda found: _v6(found[0], rename), text)
    return text


def _mac(found: re.Match[str], rename: Rename) -> str:
    plain = found[0].replace(found[1], ":").lower()
    if plain in ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"):
        return found[0]
    return rename("mac", plain)


def _v6(found: str, rename: Rename) -> str:
    if found.count(":") < 2 or not any(map(str.isdigit, found)):
        return found
    tail = ":" if found.endswith(":") and not found.endswith("::") else ""
    return _ip(found, found.removesuffix(tail), rename) + tail


def _ip(found: str, spelling: str, rename: Rename) -> str:
    try:
        address = ipaddress.ip_address(spelling)
    except ValueError:
        return found
    if address.is_loopback or address.is_unspecified or spelling == "255.255.255.255":
        return found
    if found[:1].isdigit() and "." not in found and ":" not in found and len(found) < 9:
        return found  # 1-2-3-4: a date or a version sooner than an address
    return rename("ip-private" if address.is_private or address.is_link_local else "ip-public", str(address))
