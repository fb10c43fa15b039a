"""From cgroup paths as systemd and container engines write them to the names that people know."""

from __future__ import annotations

import pytest

from monitord.capture import context_system
from monitord.procfs.cgroups import best_path, container_in, memberships, mounted, unit_in

ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/nginx.service", "nginx.service"),
        ("/system.slice/nginx.service/workers/1", "nginx.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        (r"/system.slice/dev-disk-by\x2duuid-1.swap", r"dev-disk-by\x2duuid-1.swap"),
        (
            r"/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome\x2dterminal-7.scope",
            r"app-gnome\x2dterminal-7.scope",
        ),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/my.service", "my.service"),
        ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        ("/user.slice/user-1000.slice", "user-1000.slice"),
        ("/system.slice/_cpu.service", "cpu.service"),
        ("/init.scope", "init.scope"),
        ("/", None),
        ("/build/job-7", None),
    ],
)
def test_the_innermost_unit_is_named(path: str, unit: str | None) -> None:
    assert unit_in(path) == unit


@pytest.mark.parametrize(
    ("path", "container"),
    [
        (f"/docker/{ID}", ID),
        (f"/system.slice/docker-{ID}.scope", ID),
        (f"/system.slice/docker-{ID}.scope/system.slice/nginx.service", ID),
        (f"/kubepods.slice/kubepods-burstable.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope", ID),
        (f"/system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:{ID}", ID),
        (f"/kubepods/besteffort/pod1-2/{ID}", ID),
        (f"/kubepods.slice/kubepods-pod1.slice/crio-{ID}.scope", ID),
        (f"/machine.slice/libpod-{ID}.scope/container", ID),
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope", ID),
        (f"/machine.slice/libpod-conmon-{ID}.scope", None),
        ("/lxc/web01", "web01"),
        ("/lxc.payload.web01/system.slice/nginx.service", "web01"),
        (r"/machine.slice/machine-build\x2dbox.scope", "build-box"),
        ("/machine.slice/systemd-nspawn@web.service/payload", "web"),
        ("/system.slice/nginx.service", None),
        ("/", None),
    ],
)
def test_the_container_is_named(path: str, container: str | None) -> None:
    assert container_in(path) == container


def test_the_unified_hierarchy_is_preferred_when_it_says_something() -> None:
    assert (
        best_path("9:cpu:/deep/er/path\n1:name=systemd:/b\n0::/system.slice/a.service\n")
        == "/system.slice/a.service"
    )


def test_on_a_mixed_system_systemds_own_hierarchy_speaks() -> None:
    assert (
        best_path("4:memory:/x\n1:name=systemd:/system.slice/b.service\n0::/\n") == "/system.slice/b.service"
    )


def test_without_systemd_the_deepest_path_speaks() -> None:
    assert best_path(f"9:name=systemd:/\n4:memory:/docker/{ID}\n0::/\n") == f"/docker/{ID}"


def test_a_removed_group_keeps_its_name() -> None:
    assert best_path("0::/system.slice/gone.service (deleted)\n") == "/system.slice/gone.service"


def test_no_text_is_no_path() -> None:
    assert best_path("") is None


@pytest.mark.parametrize(
    ("memberships", "unit", "container"),
    [
        (f"0::/machine.slice/libpod-conmon-{ID}.scope\n", f"libpod-conmon-{ID}.scope", None),
        ("0::/system.slice/_cpu.service\n", "cpu.service", None),
        ("0::/user.slice/user-1000.slice\n", "user-1000.slice", None),
        ("0::/machine.slice/machine-web.scope\n", "machine-web.scope", "web"),
        ("0::/lxc.payload.web/system.slice/nginx.service\n", "nginx.service", "web"),
    ],
)
def test_a_capture_names_the_group_as_the_incident_does(
    memberships: str, unit: str | None, container: str | None
) -> None:
    """Two parsers of the same lines disagreed about each of these."""
    path = best_path(memberships)
    assert path is not None
    assert (unit_in(path), container_in(path)) == (unit, container)
    told = context_system.cgroup(memberships)
    assert (told["unit"], told["container_id"]) == (unit, container)


@pytest.mark.parametrize("blank", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_a_group_can_not_make_itself_another_by_its_name(blank: str) -> None:
    """Only a newline, which no group may have in its name, ends a line."""
    forged = f"9:memory:/user.slice/mine{blank}0::/system.slice/nginx.service\n0::/user.slice/mine\n"
    assert best_path(forged) == "/user.slice/mine"
    assert memberships(forged).keys() == {"memory", ""}


def test_a_container_sees_its_own_group_as_the_root() -> None:
    """The mounted group's path is taken off, and what is mounted is the container's own group."""
    here = mounted("1 2 0:1 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n")[""]
    assert here.folders("/docker/abc/job") == ["/sys/fs/cgroup/job", "/sys/fs/cgroup"]
    assert here.folders("/docker/abc") == ["/sys/fs/cgroup"]
    for beside in ("/docker/other", "/../other", "/docker/abcd", "/docker/abcd/job"):
        assert here.folders(beside) == []


def test_a_hierarchy_is_found_at_a_mount_point_with_blanks() -> None:
    """The kernel writes them as octal numbers."""
    here = mounted("1 2 0:1 / /mnt/my\\040groups rw shared:5 - cgroup cgroup rw,cpu,cpuacct\n")
    assert here["cpu"].point == here["cpuacct"].point == "/mnt/my groups"
