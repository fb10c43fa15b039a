"""From cgroup paths as systemd and container engines write them to the names that people know."""

from __future__ import annotations

import pytest

from monitord.sampling.cgroups import best_path, container_in, unit_in

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
