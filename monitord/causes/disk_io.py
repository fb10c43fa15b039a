"""Which files the bytes of a disk alert went to or came from, and whether they were read or written.

Two ways: positions and sizes of open files, compared between looks (blind to pwrite, pread, memory mappings
and files that were closed meanwhile; a position that jumps tells nothing), and fanotify for a second, where
that is permitted (blind to mappings).
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monitord import procfs
from monitord.causes import fanotify
from monitord.causes.facts import Facts
from monitord.causes.unknown import unknown
from monitord.causes.wait_words import Row, number, process_called, rows, text
from monitord.causes.words import share as share_text
from monitord.model import Cause, counted, sized
from monitord.procfs import descriptors
from monitord.procfs.maps import mappings
from monitord.procfs.mounts import CAP_BYTES, NETWORK, MountPoint, mount_points
from monitord.redaction import redact_name

WATCH_S = 1.0
_FILES = 120
_LOOK_CAP = 4000
_PLACES = 8
_TEXT = 200
_MAPS_BYTES = 1 << 20
_LIMIT_S = 0.5
_ANCESTORS = 16
_MOST_OF_IT = 0.8
_ENOUGH = 0.5
_ONE_WAY = 0.8  # of the events
_NAMED = 3
_LEAST_BYTES = 1 << 20
_MOST_TOLD = 1.25  # of what calls moved: positions were read a moment before
_FIX = "what fanotify sees: record as root, or with CAP_SYS_ADMIN; what opens and maps files in its profile"
_UNTOLD = ("/dev/", "/proc/", "/sys/", "/memfd:", "/dev")


def observe(pid: int, start_ticks: int) -> dict[str, Any]:
    """Open files with positions and sizes, twice; what fanotify saw; what is mapped to be written."""
    mounts = {
        one.mount_id: one for one in mount_points(procfs.text(procfs.path(pid, "mountinfo"), CAP_BYTES))
    }
    first, io = _files(pid, mounts), _io(pid)
    began_s = time.monotonic()
    seen = fanotify.watch(_places(pid, first, mounts), _family_of(pid), WATCH_S)
    time.sleep(max(0.0, WATCH_S / 2 - (time.monotonic() - began_s)))
    over_s = time.monotonic() - began_s
    later, io_later = _files(pid, mounts), _io(pid)
    moved = sorted(later, key=lambda one: -_moved(first.get(one), later[one]))[:_FILES]
    return {
        "over_s": round(over_s, 3),
        "io": io_later,
        "io_before": io,
        "files": [later[one] | {"was": _levels(first.get(one))} for one in moved],
        "seen": None if seen is None else _told(pid, seen),
        "mapped": _mapped(pid),
    }


_File = dict[str, Any]


def _files(pid: int, mounts: Mapping[int, MountPoint]) -> dict[tuple[int, int | None], _File]:
    """Regular files, and what cannot be told from them, by descriptor and inode.

    Sizes are asked for on disks of this machine only: a network file system may keep its asker waiting.
    """
    found: dict[tuple[int, int | None], _File] = {}
    for descriptor, link in descriptors.links(pid, _LOOK_CAP):
        if descriptors.kind_of(link) != "file" or link.startswith(_UNTOLD):
            continue
        info = descriptors.info_of(pid, descriptor)
        if info is None:
            continue
        mount = mounts.get(info.mount_id)
        found[descriptor, info.inode] = {
            "fd": descriptor,
            "inode": info.inode,
            "path": redact_name(link)[:_TEXT],
            "position": info.position,
            "size": _size(pid, descriptor) if mount and _is_local(mount) else None,
            "mode": "r" if not info.writes else "w" if not info.reads else "rw",
            "mount": _mount(mount),
        }
    return found


def _size(pid: int, descriptor: int) -> int | None:
    try:
        return Path(procfs.path(pid, f"fd/{descriptor}")).stat().st_size
    except OSError:
        return None


def _is_local(mount: MountPoint) -> bool:
    return not mount.kind.startswith(NETWORK)


def _mount(mount: MountPoint | None) -> str:
    return f"{redact_name(mount.source)[:80]} ({mount.kind[:20]})" if mount else ""


def _levels(file: _File | None) -> list[int | None] | None:
    return [file["position"], file["size"]] if file else None


def _moved(before: _File | None, after: _File) -> int:
    if before is None:
        return int(after["position"])
    grown = int(after["size"] or 0) - int(before["size"] or 0)
    return max(abs(int(after["position"]) - int(before["position"])), abs(grown))


def _io(pid: int) -> dict[str, int]:
    return procfs.numbers(procfs.text(procfs.path(pid, "io")))


def _places(pid: int, files: Mapping[Any, _File], mounts: Mapping[int, MountPoint]) -> list[str]:
    """A link of the kernel's to one file on each mount of this machine, and to where relative names begin.

    No name is followed but the kernel's own links to what the target has open.
    """
    found: dict[int, str] = {}
    for file in files.values():
        info = descriptors.info_of(pid, file["fd"])
        if info and info.mount_id in mounts and _is_local(mounts[info.mount_id]):
            found.setdefault(info.mount_id, procfs.path(pid, f"fd/{file['fd']}"))
    for name in ("cwd", "root"):
        mount = _mount_of(pid, name, mounts)
        if mount is not None and _is_local(mount):
            found.setdefault(mount.mount_id, procfs.path(pid, name))
    return list(found.values())[:_PLACES]


def _mount_of(pid: int, name: str, mounts: Mapping[int, MountPoint]) -> MountPoint | None:
    try:
        path = procfs.link(procfs.path(pid, name))
    except OSError:
        return None
    above = [one for one in mounts.values() if f"{path}/".startswith(f"{one.point.rstrip('/')}/")]
    return max(above, key=lambda one: len(one.point), default=None)


def _family_of(pid: int) -> Any:
    """Whether a process is the target or descends from it: a child's bytes are its parent's in the end."""
    known = {pid: True, os.getpid(): False, 0: False, 1: pid == 1}

    def is_family(one: int) -> bool:
        way: list[int] = []
        while one not in known and len(way) < _ANCESTORS:
            way.append(one)
            stat = procfs.stat_of(one)
            one = stat.parent_pid if stat else 0
        answer = known.get(one, False)
        known.update(dict.fromkeys(way, answer))
        return answer

    return is_family


def _told(pid: int, seen: fanotify.Seen) -> dict[str, Any]:
    """The files with the most events, reads and writes apart, each with the process that it was."""
    files = [
        {
            "path": redact_name(path)[:_TEXT],
            "is_write": is_write,
            "events": count,
            "by": None
            if by == pid
            else [by, redact_name(stat.name)[:40] if (stat := procfs.stat_of(by)) else ""],
        }
        for (path, is_write, by), count in seen.files.most_common(_FILES // 2)
    ]
    return {"events": seen.files.total(), "is_cut": seen.is_cut, "files": files}


def _mapped(pid: int) -> list[str]:
    """Files that are mapped shared and to be written: their bytes move without a call."""
    maps = procfs.read_within(procfs.path(pid, "maps"), _LIMIT_S, _MAPS_BYTES) or b""
    lines = (line.split(None, 5) for line in maps.split(b"\n"))
    written = {fields[5] for fields in lines if len(fields) == 6 and fields[1][1:2] + fields[1][3:4] == b"ws"}
    names = [one.path for one in mappings(maps) if os.fsencode(one.path) in written]
    told = [name for name in dict.fromkeys(names) if not name.startswith(_UNTOLD)]
    return [redact_name(name)[:_TEXT] for name in told[:20]]


# ------------------------------------------------------------------------------------------- explaining


def explain(facts: Facts) -> Cause:
    """The files that moved most of the bytes; what is not accounted for is said."""
    seen = facts.after or facts.before
    if seen is None:
        return unknown(facts, "its files could not be read", "record as root, or as its user")
    read_bytes, written_bytes = _bytes_moved(facts)
    whole = read_bytes + written_bytes
    moved = _by_file(facts, {"r": read_bytes, "w": written_bytes, "rw": whole} if whole else {})
    evidence = _evidence(moved, seen, read_bytes, written_bytes)
    known = sum(one["bytes"] for one in moved)
    if moved and known >= _LEAST_BYTES and known >= _ENOUGH * whole:
        sentence = _by_positions(moved, whole)
        is_sure = whole > 0 and _MOST_OF_IT * whole <= known <= _MOST_TOLD * whole + _LEAST_BYTES
        return Cause("file", sentence, "certain" if is_sure else "likely", evidence=evidence)
    if (cause := _by_events(seen, evidence)) is not None:
        return cause
    mapped = _names_of(seen)
    blind = "what is read or written by pread, pwrite or mappings, or is closed soon, has no position"
    decides = _FIX if seen.get("seen") is None else "what opens and maps files in its profile"
    told = seen.get("seen")
    if mapped and not (isinstance(told, Mapping) and rows(told.get("files"))):
        names = " and ".join(text({"name": name}, "name") for name in mapped[:_NAMED])
        sentence = (
            f"files unknown: no position moved and no call was seen; it has {names} mapped to be written"
        )
        return Cause("mapped file", sentence, "possible", None, decides, evidence)
    cause = unknown(facts, f"files unknown: {blind}", decides)
    return Cause(cause.kind, cause.sentence, cause.confidence, None, decides, evidence)


def _by_file(facts: Facts, most: Mapping[str, int]) -> list[dict[str, Any]]:
    """Bytes by path, over the longest time in which they can be compared; most first.

    `most` is what calls moved, by how a file is open. A position that went further, or back, was set: it says
    nothing of bytes, and a file's growth alone is counted.
    """
    seen = facts.after or facts.before or {}
    earlier = {
        (number(one, "fd"), number(one, "inode")): (number(one, "position"), one.get("size"))
        for one in rows(facts.before.get("files") if facts.before and facts.after else None)
    }
    found: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for file in rows(seen.get("files")):
        was = earlier.get((number(file, "fd"), number(file, "inode"))) or _was(file)
        if was is None:
            continue
        position = number(file, "position") - was[0]
        size, size_was = file.get("size"), was[1]
        grown = size - size_was if isinstance(size, int) and isinstance(size_was, int) else 0
        was_then = _was(file)
        last_step = number(file, "position") - was_then[0] if was_then else 0
        limit = most.get(text(file, "mode"))
        is_set = min(position, last_step) < 0
        is_set |= limit is not None and position > _MOST_TOLD * limit + _LEAST_BYTES
        bytes_moved = max(0 if is_set else position, grown if "w" in text(file, "mode") else 0)
        if bytes_moved > 0:
            found[text(file, "path"), _direction(text(file, "mode"), grown), text(file, "mount")] += (
                bytes_moved
            )
    ranked = sorted(found.items(), key=lambda one: -one[1])
    return [
        {"path": path, "how": how, "mount": mount, "bytes": moved} for (path, how, mount), moved in ranked
    ]


def _was(file: Row) -> tuple[int, object] | None:
    was = file.get("was")
    if isinstance(was, list) and len(was) == 2 and isinstance(was[0], int):
        return was[0], was[1]
    return None


def _direction(mode: str, grown: int) -> str:
    """By how it was opened, else by whether it grew: a position moves for both."""
    if mode in ("r", "w"):
        return "read from" if mode == "r" else "written to"
    return "written to" if grown > 0 else "read or written at"


def _bytes_moved(facts: Facts) -> tuple[int, int]:
    """What the process read and wrote by calls, over the same time."""
    seen = facts.after or facts.before or {}
    later = seen.get("io") or {}
    earlier = (facts.before.get("io") if facts.before and facts.after else seen.get("io_before")) or {}
    if not isinstance(later, Mapping) or not isinstance(earlier, Mapping):
        return 0, 0
    return tuple(max(0, number(later, key) - number(earlier, key)) for key in ("rchar", "wchar"))  # type: ignore[return-value]  # two of them


def _by_positions(moved: list[dict[str, Any]], whole: int) -> str:
    first = moved[0]
    on = f", on {first['mount']}" if first["mount"] else ""
    share = f" of {sized(whole, 'disk_bytes')}" if whole > first["bytes"] else ""
    sentence = f"{sized(first['bytes'], 'disk_bytes')}{share} were {first['how']} {first['path']}{on}"
    others = [one for one in moved[1:_NAMED] if one["bytes"] >= first["bytes"] / 10]
    if others:
        sentence += "; then " + " and ".join(
            f"{sized(one['bytes'], 'disk_bytes')} {one['how']} {one['path']}" for one in others
        )
    more = len(moved) - 1 - len(others)
    return sentence + (f"; and {counted(more, 'further file')}" if more > 0 else "")


def _by_events(seen: Mapping[str, Any], evidence: tuple[tuple[str, str], ...]) -> Cause | None:
    """What fanotify saw: how often, not how much."""
    told = seen.get("seen")
    files = rows(told.get("files")) if isinstance(told, Mapping) else []
    if not isinstance(told, Mapping) or not files:
        return None
    by_file: dict[tuple[str, bool], list[Row]] = {}
    for one in files:  # children that write one file have a row each
        by_file.setdefault((text(one, "path"), bool(one.get("is_write"))), []).append(one)
    (path, is_write), theirs = max(by_file.items(), key=lambda item: _events(item[1]))
    most, whole = _events(theirs), _events(files)
    folder = os.path.commonpath([text(one, "path") for one in files]) if _are_paths(files) else "/"
    said = "in the second that was watched"
    of = f"{share_text(most, whole)} of {counted(whole, 'event')}"
    if most >= _ENOUGH * whole or folder in ("/", ""):
        often = "" if most >= _ENOUGH * whole else " most often"
        sentence = f"{said} {path} was {'written' if is_write else 'read'}{often}{_by(theirs)}: {of}"
    else:
        writes = _events([one for one in files if one.get("is_write")])
        is_one = max(writes, whole - writes) >= _ONE_WAY * whole
        verb = ("written" if 2 * writes > whole else "read") if is_one else "read and written"
        paths = {path for path, _is_write in by_file}
        where = f"{counted(len(paths), 'file')} below {folder}"
        were = "was" if len(paths) == 1 else "were"
        sentence = f"{said} {where} {were} {verb}{_by(files)}: {counted(whole, 'event')}"
    return Cause("file", sentence, "likely", None, None, evidence)


def _events(files: Sequence[Row]) -> int:
    return int(sum(number(one, "events") for one in files))


def _by(files: Sequence[Row]) -> str:
    """Which child did it, or that several did; "" where it was the process itself, or both."""
    whose = [one.get("by") for one in files]
    children = {str(by[0]): by for by in whose if isinstance(by, list) and len(by) == 2}
    if not all(isinstance(by, list) and len(by) == 2 for by in whose):
        return ""
    if len(children) > 1:
        names = sorted({name for by in children.values() if (name := text({"name": by[1]}, "name"))})[:_NAMED]
        return f" by {len(children)} of its children" + (f" ({', '.join(names)})" if names else "")
    return "".join(f" by its child {process_called(by[1], by[0])}" for by in children.values())


def _are_paths(files: list[Row]) -> bool:
    return all(text(one, "path").startswith("/") for one in files)


def _evidence(
    moved: list[dict[str, Any]], seen: Mapping[str, Any], read_bytes: int, written_bytes: int
) -> tuple[tuple[str, str], ...]:
    found = [
        ("by calls", f"{sized(read_bytes, 'disk_bytes')} read, {sized(written_bytes, 'disk_bytes')} written")
    ]
    found += [
        ("positions", f"{sized(one['bytes'], 'disk_bytes')} {one['how']} {one['path']}") for one in moved[:5]
    ]
    told = seen.get("seen")
    if isinstance(told, Mapping):
        for one in rows(told.get("files"))[:5]:
            verb = "written" if one.get("is_write") else "read"
            found.append(
                ("fanotify", f"{counted(number(one, 'events'), 'time')} {verb}: {text(one, 'path')}")
            )
        if told.get("is_cut"):
            found.append(("limit", f"the first {counted(fanotify.MOST_EVENTS, 'event')} were looked at"))
    else:
        found.append(("not used", "fanotify, which takes CAP_SYS_ADMIN"))
    found += [("mapped", text({"name": name}, "name")) for name in _names_of(seen)[:3]]
    return tuple(found)


def _names_of(seen: Mapping[str, Any]) -> list[str]:
    """The files that are mapped to be written."""
    names = seen.get("mapped")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
