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
    """Refuse to record as root, as a person, or for a group that is not the service's, by that name."""
    import grp
    import pwd

    uid = static_uid(name)
    if uid is None:
        return
    gid = pwd.getpwnam(name).pw_gid
    try:
        group = grp.getgrgid(gid).gr_name
    except KeyError:
        group = str(gid)
    reason = why_no_system_account(name, uid, group)
    if reason is not None:
        raise PermissionDeniedError(f"cannot record as {name}: {reason}")


def why_no_system_account(name: str, uid: int, group: str) -> str | None:
    """Why the account of this name, with this primary group, can't be the service's; None: it can."""
    if uid == 0:
        return "uid 0 is root, expected a system account or none; remove that name"
    if uid >= _PEOPLE_FROM_UID:
        return f"uid {uid} is a person's account, expected a system account or none; rename that account"
    if group != name:  # else all of that group would read every user's processes
        return f"its group is {group}, expected {name}; try `groupadd -r {name}; usermod -g {name} {name}`"
    return None


def members(name: str) -> tuple[str, ...]:
    """Who is in the group of this name already."""
    import grp

    try:
        return tuple(member for member in grp.getgrnam(name).gr_mem if member != name)
    except KeyError:
        return ()


def sysusers_file(root: Path) -> Path:
    """Where what systemd-sysusers is told stands."""
    return root / "etc/sysusers.d/monitord.conf"


def sysusers_text(name: str, home: Path) -> str:
    """A user without login and a group, both of this name (sysusers.d(5))."""
    return f'u {name} - "monitord flight recorder" {home}\n'
