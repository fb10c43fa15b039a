"""The user and the group that the machine's service runs as: made by the install, removed by a purge.

systemd-sysusers makes both from one file, whose presence tells later that they are ours to remove.
"""

from __future__ import annotations

from pathlib import Path

from monitord.errors import PermissionDeniedError

_PEOPLE_FROM_UID = 1000
_DYNAMIC_UIDS = range(61184, 65520)  # systemd's, for services of earlier versions; such a user is not there


def static_uid(name: str) -> int | None:
    """The number of the account of this name, if it is one that stays."""
    import pwd

    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        return None
    return None if uid in _DYNAMIC_UIDS else uid


def require_system_account(name: str) -> None:
    """Refuse to record as a person who happens to have this name."""
    uid = static_uid(name)
    if uid is not None and uid >= _PEOPLE_FROM_UID:
        raise PermissionDeniedError(
            f"cannot record as {name}: uid {uid} is a person's account, expected a system account or none;"
            " rename that account"
        )


def sysusers_file(root: Path) -> Path:
    """Where what systemd-sysusers is told stands."""
    return root / "etc/sysusers.d/monitord.conf"


def sysusers_text(name: str, home: Path) -> str:
    """A user without login and a group, both of this name (sysusers.d(5))."""
    return f'u {name} - "monitord flight recorder" {home}\n'
