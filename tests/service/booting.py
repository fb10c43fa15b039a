"""A container that boots over this machine's own files: one boot, in which a driver says what it saw.

Needs root, systemd-nspawn and an overlay file system.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from monitord.ownership import closed_to_others
from tests.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
BOOT_DEADLINE_S = 900  # pip included

TARGET = "[Unit]\nRequires=basic.target probe-driver.service\nAllowIsolate=yes\n"

DRIVER_UNIT = """[Unit]
After=basic.target
SuccessAction=exit-force
FailureAction=exit-force
SuccessActionExitStatus=0
FailureActionExitStatus=7
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/bash /driver.sh
"""

CONFIG = """[sampling]
interval_s = 0.5
heartbeat_s = 2
[[rules]]
name = "cpu-hog"
metric = "cpu"
above = 20
window_s = 2
clear_below = 10
[capture]
duration_s = 1
max_load_per_cpu = 1000
"""

# Of every driver: `say NAME VALUE`, and what is written to /out/NAME is a text of that name.
PRELUDE = r"""
prop() { systemctl show monitord.service -p "$1" --value; }
say() { echo "$1=$2" >> /out/result; }
until_true() { end=$((SECONDS + 150)); until eval "$1"; do [ $SECONDS -lt $end ] || return 1; sleep 0.3; done; }
is_up() { [ "$(prop ActiveState)" = active ]; }
trap 'journalctl -u monitord.service -o cat > /out/journal' EXIT
"""


def boot_machine(folder: Path, prepare: Callable[[Path], list[str]]) -> dict[str, str]:
    """What the driver saw: what it said, its texts, and the `journal`. `prepare` fills the tree."""
    nspawn = shutil.which("systemd-nspawn")
    if nspawn is None:
        pytest.skip("systemd-nspawn is missing: apt-get install systemd-container")
    tree, out = folder / "tree", folder / "out"
    for made in (tree, out, folder / "layer"):
        made.mkdir()
    mounted = [folder / "layer"]
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=768m", "tmpfs", str(mounted[0])], check=True)
    try:
        overlay(folder / "layer", tree)
        mounted.append(tree)
        return _run(nspawn, tree, out, prepare(tree))
    finally:
        for mount in reversed(mounted):
            subprocess.run(["umount", "-l", str(mount)], check=False)


def overlay(layer: Path, tree: Path) -> None:
    (layer / "upper").mkdir()
    (layer / "work").mkdir()
    options = f"lowerdir=/,upperdir={layer}/upper,workdir={layer}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(tree)], check=True)


def furnish(tree: Path, unit: str, driver: str) -> list[str]:
    """Install monitord under /opt where everybody can execute it, and a unit; gives nspawn's bind options."""
    home, binds = Path(sys.executable).resolve().parent, []
    if closed_to_others(Path(sys.executable).resolve()) is not None:
        binds.append(f"--bind-ro={sys.base_prefix}:/opt/probe-python")
        home = Path("/opt/probe-python") / home.relative_to(Path(sys.base_prefix).resolve())
    packages = sysconfig.get_path("purelib")
    binds.append(f"--bind-ro={packages}:/opt/probe-packages")
    prefix = tree / "opt/monitord"
    site = prefix / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    site.mkdir(parents=True)
    (prefix / "bin").mkdir()
    (prefix / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
    (prefix / "bin/python").symlink_to(home / Path(sys.executable).resolve().name)
    (site / "probe.pth").write_text("/opt/probe-packages\n")
    for name in ("monitord", "migrations", "systemd"):
        shutil.copytree(REPOSITORY / name, site / name, ignore=shutil.ignore_patterns("__pycache__"))
    # As pip does: the service's own user can't write there, and would compile everything at each of its starts.
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(site / "monitord")], check=True)
    script = prefix / "bin/monitord"
    script.write_text("#!/opt/monitord/bin/python\nfrom monitord.cli import main\nmain()\n")
    script.chmod(0o755)
    py_spy = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if py_spy:
        shutil.copy(py_spy, prefix / "bin/py-spy")
    units = tree / "etc/systemd/system"
    write(units / "probe.target", TARGET)
    write(units / "probe-driver.service", DRIVER_UNIT)
    write(units / "monitord.service", unit)
    write(tree / "etc/monitord/config.toml", CONFIG)
    write(tree / "driver.sh", driver)
    return [*binds, f"--bind-ro={REPOSITORY}:/checkout"]


def of_readme(beginning: str) -> str:
    """The first block of commands behind the words, as it stands."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8").split(beginning)[1]
    return text.split("```")[1].lstrip("\n")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _run(nspawn: str, tree: Path, out: Path, binds: list[str]) -> dict[str, str]:
    command = [nspawn, "-q", "-D", str(tree), "-b", "--register=no", "--keep-unit", "--link-journal=no"]
    command += ["--capability=all", "--system-call-filter=perf_event_open", f"--bind={out}:/out", *binds]
    command += ["--", "systemd.unit=probe.target"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as box:
        # Its watchdog and its five seconds to stop are the product's: it is not to be starved in a low lane.
        with suppress(PermissionError):  # raising it takes a right that not every container has
            os.setpriority(os.PRIO_PROCESS, box.pid, 0)
        try:
            said, _ = box.communicate(timeout=BOOT_DEADLINE_S)
        except subprocess.TimeoutExpired:
            box.terminate()
            said, _ = box.communicate(timeout=PATIENCE_S)
    if not (out / "result").exists() or not (out / "journal").exists():
        seen = (out / "result").read_text() if (out / "result").exists() else "nothing"
        pytest.fail(f"the boot did not come to its end; the driver saw {seen}; it said {said[-3000:]!r}")
    seen = dict(line.split("=", 1) for line in (out / "result").read_text().splitlines())
    if seen.get("start") != "0":
        pytest.fail(f"the unit did not start: {(out / 'journal').read_text(errors='replace')[-6000:]}")
    texts = {path.name: path.read_text(errors="replace") for path in out.iterdir() if path.is_file()}
    return {**seen, **{f"{name}_text" if name in seen else name: text for name, text in texts.items()}}
