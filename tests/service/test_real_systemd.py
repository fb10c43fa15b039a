"""The system unit under a real systemd: a container that boots over this machine's own files.

One boot, in which a driver does one thing after the other and writes down what it saw; each test reads
one of those. Needs root, systemd-nspawn and an overlay file system. More than 400 lines: one driver and the
tests of what it wrote down.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from monitord.ownership import closed_to_others
from monitord.service.templates import render_unit
from tests.patience import PATIENCE_S

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(1000),
    pytest.mark.skipif(sys.platform != "linux", reason="systemd runs on Linux only"),
]

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

# The watchdog of the shipped unit allows 30 s; six make the test shorter and the daemon no slower.
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

TEXTS = (
    *("journal", "python", "awk", "refused", "started", "doctor", "by_link", "ordinary"),
    *("install", "uninstall", "purge", "failed_status", "sealed_show", "sealed_verify", "without_key"),
    *("bad_reload", "readme"),
)
DROP_IN = "[Service]\nWatchdogSec=6s\n"

DRIVER = r"""
prop() { systemctl show monitord.service -p "$1" --value; }
say() { echo "$1=$2" >> /out/result; }
until_true() { end=$((SECONDS + 150)); until eval "$1"; do [ $SECONDS -lt $end ] || return 1; sleep 0.3; done; }
is_up() { [ "$(prop ActiveState)" = active ]; }
came_back() { is_up && [ "$(prop NRestarts)" = "$1" ] && [ "$(prop MainPID)" != "$2" ]; }

trap 'journalctl -u monitord.service -o cat > /out/journal' EXIT

# What somebody left in the manager's own environment: the interpreter would obey it before us.
mkdir /planted; echo 'open("/tmp/was-run", "w")' | tee /planted/sitecustomize.py /planted/typer.py > /dev/null
systemctl set-environment PYTHONPATH=/planted PYTHONHOME=/planted

systemctl start monitord.service; started=$?; say start $started
say active "$(prop ActiveState)"
[ $started = 0 ] || exit 0
until_true '[ -n "$(prop StatusText)" ]'; say status_text "$(prop StatusText)"
main=$(prop MainPID)
say uid "$(stat -c %u /proc/$main)"
say planted "$(tr '\0' '\n' < /proc/$main/environ | grep -c planted)"
systemctl unset-environment PYTHONPATH PYTHONHOME
say capabilities "$(sed -n 's/^CapEff:\t//p' /proc/$main/status)"
say data_mode "$(stat -c %a /var/lib/private/monitord)"
until_true '[ -s /var/lib/private/monitord/monitord.db ]'; say database $?
say watchdog "$(prop WatchdogUSec)"

rows_of() {
    /opt/monitord/bin/python - "$1" <<'END'
import sqlite3, sys
store = sqlite3.connect("file:/var/lib/private/monitord/monitord.db?mode=ro", uri=True)
sql = (
    "SELECT c.role, c.profiler, c.status, coalesce(c.failure_reason, ''), i.user, i.hotspots"
    " FROM profile_capture c JOIN incident i USING (correlation_id) WHERE i.process_name = ?"
)
for row in store.execute(sql, (sys.argv[1],)):
    print(*row, sep="|")
END
}
burn() {
    name=$1; shift
    runuser -u nobody -- timeout 120 "$@" < /dev/null > /dev/null 2>&1 & burner=$!
    until_true 'rows_of '$name' | grep -q "^profile"'
    kill $burner; wait $burner
    rows_of $name > /out/$name
}
cp /etc/monitord/config.toml /out/config
burn python /opt/monitord/bin/python -c 'def guilty():
    while True: pass
guilty()'
burn awk /usr/bin/awk 'BEGIN { while (1) i++ }'

# A person with sudo asks the service's store, and changes it.
/opt/monitord/bin/monitord recent -o json > /out/recent; say asked_by_root $?
first=$(/opt/monitord/bin/python -c 'import json; print(json.load(open("/out/recent"))[0]["id"])')
/opt/monitord/bin/monitord keep "$first"; say kept_by_root $?
say owners "$(find /var/lib/private/monitord -printf '%U\n' | sort -u | tr '\n' ' ')"

systemctl reload monitord.service; say reload $?
until_true is_up; say pid_kept_over_reload "$([ "$(prop MainPID)" = "$main" ] && echo yes)"

printf 'nonsense = 1\n' > /etc/monitord/config.toml; chmod 644 /etc/monitord/config.toml
systemctl reload monitord.service; say bad_reload $?
until_true 'journalctl -u monitord.service -o cat | grep -q nonsense'; say bad_config_is_told $?
/opt/monitord/bin/monitord service reload --system > /out/bad_reload 2>&1; say bad_reload_by_hand $?
say pid_kept_over_bad_config "$(is_up && [ "$(prop MainPID)" = "$main" ] && echo yes)"
rm /etc/monitord/config.toml
/opt/monitord/bin/monitord service reload --system > /dev/null 2>&1; say reload_by_hand $?

kill -9 "$main"
until_true 'came_back 1 '"$main"; say restarted_after_kill $?
main=$(prop MainPID)
kill -STOP "$main"
until_true 'came_back 2 '"$main"; say restarted_by_watchdog $?

# Eight restarts in a row, as while rules are tuned: systemd's start limit must not leave it off.
for _ in 1 2 3 4 5 6 7 8; do systemctl restart monitord.service || break; done
until_true is_up; say up_after_restarts $?
printf 'nonsense = 1\n' > /etc/monitord/config.toml; chmod 644 /etc/monitord/config.toml
systemctl restart monitord.service 2> /dev/null
until_true '[ "$(prop ActiveState)" = failed ]'; say refused_start $?
systemctl status --no-pager monitord.service > /out/refused 2>&1
/opt/monitord/bin/monitord status > /out/failed_status 2>&1; say failed_status $?
rm /etc/monitord/config.toml
/opt/monitord/bin/monitord service start --system > /out/started 2>&1; say started_by_hand $?
until_true is_up; say up_after_refusal $?

# A healthy service, as root and as an ordinary user see it.
/opt/monitord/bin/monitord doctor > /out/doctor 2>&1; say doctor $?
/opt/monitord/bin/monitord --data-dir /var/lib/monitord recent -o json > /dev/null 2> /out/by_link; say by_link $?
runuser -u nobody -- env HOME=/nonexistent /opt/monitord/bin/monitord recent > /out/ordinary 2>&1
mkdir /out/his; chown 65534 /out/his
SUDO_UID=65534 SUDO_GID=65534 /opt/monitord/bin/monitord export "$first" -o /out/his/ticket.json 2> /dev/null
say ticket_owner "$(stat -c %u /out/his/ticket.json)"
say config_owner "$(stat -c %u /etc/monitord)"

# Sealed with a key that only the unit is given: root reads and changes the store while it runs.
/opt/monitord/bin/python -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())' > /etc/monitord/key
chmod 600 /etc/monitord/key
mkdir -p /etc/systemd/system/monitord.service.d
printf '[Service]\nLoadCredential=seal:/etc/monitord/key\n' > /etc/systemd/system/monitord.service.d/key.conf
printf '[storage]\nencryption_key = "credential:seal"\n%s\n' "$(cat /out/config)" > /etc/monitord/config.toml
chmod 644 /etc/monitord/config.toml
systemctl daemon-reload; systemctl restart monitord.service; until_true is_up; say up_sealed $?
burn perl /usr/bin/perl -e 'while (1) { $i++ }'
sealed=$(/opt/monitord/bin/monitord recent --process perl -o json |
    /opt/monitord/bin/python -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])')
/opt/monitord/bin/monitord show "$sealed" > /out/sealed_show 2>&1; say sealed_show $?
/opt/monitord/bin/monitord export "$sealed" -o /out/sealed.json 2> /dev/null; say sealed_export $?
/opt/monitord/bin/monitord keep "$sealed" > /dev/null 2>&1; say sealed_keep $?
/opt/monitord/bin/monitord storage verify > /out/sealed_verify 2>&1; say sealed_verify $?
say sealed_count "$(find /var/lib/private/monitord/artefacts -type f | wc -l)"

began=$(date +%s%N); systemctl stop monitord.service; say stop $?
say stop_ms $(( ($(date +%s%N) - began) / 1000000 ))
say after_stop "$(prop ActiveState) $(prop Result) $(prop ExecMainStatus)"

# Stopped, the key is nowhere: the error names a line that works.
/opt/monitord/bin/monitord storage verify > /out/without_key 2>&1; say without_key $?
systemd-run --pipe --wait -q -p LoadCredential=seal:/etc/monitord/key \
    /opt/monitord/bin/monitord storage verify > /dev/null 2>&1; say by_systemd_run $?
rm /etc/systemd/system/monitord.service.d/key.conf; cp /out/config /etc/monitord/config.toml; systemctl daemon-reload

# As the README says: install from a place of root's, take it away, and what it recorded with it.
/opt/monitord/bin/monitord service install --system > /out/install 2>&1; say install $?
until_true is_up; say up_after_install $?
/opt/monitord/bin/monitord service uninstall --system > /out/uninstall 2>&1; say uninstall $?
say data_after_uninstall "$([ -e /var/lib/private/monitord/monitord.db ] && echo kept)"
/opt/monitord/bin/monitord service uninstall --system --purge --yes > /out/purge 2>&1; say purge $?
say data_after_purge "$(ls -d /var/lib/monitord /var/lib/private/monitord 2> /dev/null | wc -l)"

# A machine that never had it, a checkout, and what README says to type there.
rm -rf /opt/monitord /etc/monitord /etc/systemd/system/monitord.service*; systemctl daemon-reload
cd /checkout && bash -ex /readme.sh > /out/readme 2>&1; say readme $?
say up_after_readme "$(prop ActiveState)"; main=$(prop MainPID)
say readme_program "$(tr '\0' ' ' < /proc/$main/cmdline)"
exit 0
"""


@pytest.fixture(scope="module")
def boot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the driver saw in one boot, and the `journal`."""
    nspawn = shutil.which("systemd-nspawn")
    if nspawn is None:
        if os.environ.get("CI"):
            pytest.fail("systemd-nspawn is missing: .ci/run must install systemd-container")
        pytest.skip("systemd-nspawn is missing: apt-get install systemd-container")
    folder = tmp_path_factory.mktemp("boot")
    tree, out = folder / "tree", folder / "out"
    for made in (tree, out, folder / "layer"):
        made.mkdir()
    mounted = [folder / "layer"]
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=768m", "tmpfs", str(mounted[0])], check=True)
    try:
        _overlay(folder / "layer", tree)
        mounted.append(tree)
        binds = _furnish(tree)
        yield _run(nspawn, tree, out, binds)
    finally:
        for mount in reversed(mounted):
            subprocess.run(["umount", "-l", str(mount)], check=False)


def _overlay(layer: Path, tree: Path) -> None:
    (layer / "upper").mkdir()
    (layer / "work").mkdir()
    options = f"lowerdir=/,upperdir={layer}/upper,workdir={layer}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(tree)], check=True)


def _furnish(tree: Path) -> list[str]:
    """Install monitord under /opt where everybody can execute it, and the units; gives nspawn's bind options."""
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
    _write(
        units / "monitord.service", render_unit("systemd/monitord.service", ("/opt/monitord/bin/monitord",))
    )
    _write(units / "monitord.service.d/faster.conf", DROP_IN)
    _write(units / "probe.target", TARGET)
    _write(units / "probe-driver.service", DRIVER_UNIT)
    _write(tree / "etc/monitord/config.toml", CONFIG)
    _write(tree / "driver.sh", DRIVER)
    _write(tree / "readme.sh", _of_readme("For the whole machine"))
    if shutil.which("sudo") is None:  # the driver is root already
        _write(tree / "usr/local/bin/sudo", '#!/bin/sh\nexec "$@"\n')
        (tree / "usr/local/bin/sudo").chmod(0o755)
    return [*binds, f"--bind-ro={REPOSITORY}:/checkout"]


def _of_readme(beginning: str) -> str:
    """The first block of commands behind the words, as it stands."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8").split(beginning)[1]
    return text.split("```")[1].lstrip("\n")


def _write(path: Path, text: str) -> None:
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
    if seen["start"] != "0":
        pytest.fail(f"the unit did not start: {(out / 'journal').read_text(errors='replace')[-6000:]}")
    texts = {name: (out / name) for name in TEXTS}
    return {
        **seen,
        **{
            f"{name}_text" if name in seen else name: path.read_text(errors="replace")
            for name, path in texts.items()
            if path.exists()
        },
    }


def test_it_reports_ready_and_how_it_is(boot: dict[str, str]) -> None:
    assert (boot["start"], boot["active"]) == ("0", "active"), boot["journal"]
    assert boot["status_text"]


def test_it_is_a_user_of_its_own_with_three_capabilities(boot: dict[str, str]) -> None:
    assert boot["uid"] != "0"
    assert int(boot["capabilities"], 16) == 1 << 2 | 1 << 19 | 1 << 38


def test_nothing_of_the_managers_environment_reaches_its_interpreter(boot: dict[str, str]) -> None:
    """A PYTHONPATH there would run its sitecustomize.py before any line of ours."""
    assert (boot["active"], boot["planted"]) == ("active", "0"), boot["journal"]


def test_its_data_is_its_own(boot: dict[str, str]) -> None:
    assert boot["data_mode"] == "700"
    assert boot["database"] == "0", boot["journal"]


def test_root_may_ask_and_keep(boot: dict[str, str]) -> None:
    """`sudo monitord recent` and `keep` work on the dynamic user's store and leave nothing of root's there."""
    assert boot["asked_by_root"] == "0"
    assert boot["kept_by_root"] == "0"
    assert boot["owners"].split() == [boot["uid"]]


def test_it_names_the_guilty_function_of_another_users_python(boot: dict[str, str]) -> None:
    assert "profile|py-spy|ok||nobody|" in boot["python"], boot["python"] + boot["journal"]
    assert '"guilty"' in boot["python"]


def test_it_profiles_another_users_native_program(boot: dict[str, str]) -> None:
    assert "profile|perf|ok||nobody|" in boot["awk"], boot["awk"] + boot["journal"]


def test_a_reload_keeps_the_process(boot: dict[str, str]) -> None:
    assert (boot["reload"], boot["pid_kept_over_reload"]) == ("0", "yes")


def test_a_bad_configuration_is_refused_and_the_old_one_stays(boot: dict[str, str]) -> None:
    assert boot["bad_config_is_told"] == "0", boot["journal"]
    assert boot["pid_kept_over_bad_config"] == "yes"


def test_a_refused_reload_fails_with_its_reason(boot: dict[str, str]) -> None:
    """`systemctl reload` fails, `service reload` exits 6 and says what and where; both work once it is mended."""
    assert boot["bad_reload"] != "0", boot["journal"]
    assert boot["bad_reload_by_hand"] == "6", boot["bad_reload_text"]
    assert "nonsense" in boot["bad_reload_text"]
    assert boot["reload_by_hand"] == "0"


def test_it_comes_back_after_kill_9(boot: dict[str, str]) -> None:
    assert boot["restarted_after_kill"] == "0", boot["journal"]


def test_the_watchdog_ends_a_hang(boot: dict[str, str]) -> None:
    assert boot["restarted_by_watchdog"] == "0", boot["journal"]
    assert "Watchdog timeout" in boot["journal"]


def test_no_number_of_restarts_leaves_it_off(boot: dict[str, str]) -> None:
    assert boot["up_after_restarts"] == "0", boot["journal"]


def test_a_refused_start_says_why_and_can_be_started_again(boot: dict[str, str]) -> None:
    """The one line stands in `systemctl status`; `service start` needs no reset-failed before it."""
    assert (boot["refused_start"], boot["started_by_hand"], boot["up_after_refusal"]) == ("0", "0", "0")
    assert "refused: " in boot["refused"], boot["refused"]
    assert "nonsense" in boot["refused"]


def test_status_tells_that_the_unit_failed(boot: dict[str, str]) -> None:
    """Who asks why nobody records learns that systemd gave it up, and with what to type."""
    assert boot["failed_status"] == "3"
    assert "monitord.service failed (exit status 6)" in boot["failed_status_text"]
    assert "monitord service start --system" in boot["failed_status_text"]


def test_root_reads_what_is_sealed_with_a_credential_while_it_runs(boot: dict[str, str]) -> None:
    """The key is given to the unit alone, and show, export, keep and verify find it."""
    done = {name: boot[f"sealed_{name}"] for name in ("show", "export", "keep", "verify")}
    assert (boot["up_sealed"], set(done.values())) == ("0", {"0"}), boot


def test_without_the_service_the_error_names_a_line_that_has_the_key(boot: dict[str, str]) -> None:
    assert boot["without_key"] == "6"
    assert "systemd-run --pipe --wait -p LoadCredential=seal:" in boot["without_key_text"]
    assert boot["by_systemd_run"] == "0"


def test_root_finds_a_healthy_service_in_order(boot: dict[str, str]) -> None:
    assert boot["doctor"] == "0", boot["doctor"]
    assert "belongs to the service's user" in boot["doctor_text"], boot["doctor_text"]
    assert boot["by_link"] == "0", boot["by_link_text"]


def test_an_ordinary_user_is_told_who_records(boot: dict[str, str]) -> None:
    assert "the machine's service records" in boot["ordinary"], boot["ordinary"]


def test_what_sudo_exports_belongs_to_who_asked(boot: dict[str, str]) -> None:
    assert boot["ticket_owner"] == "65534"


def test_installed_and_uninstalled_it_leaves_what_was_said(boot: dict[str, str]) -> None:
    assert (boot["install"], boot["up_after_install"]) == ("0", "0"), boot["install_text"]
    assert (boot["uninstall"], boot["data_after_uninstall"]) == ("0", "kept"), boot["uninstall_text"]
    assert (boot["purge"], boot["data_after_purge"]) == ("0", "0"), boot["purge_text"]
    assert boot["config_owner"] == "0"


def test_what_readme_says_to_type_installs_the_machines_service(boot: dict[str, str]) -> None:
    """Word for word, from a checkout, on a machine that never had it; the last line asks the one that records."""
    assert (boot["readme"], boot["up_after_readme"]) == ("0", "active"), boot["readme_text"]
    assert "/opt/monitord/bin/" in boot["readme_program"]


def test_it_stops_within_five_seconds_and_cleanly(boot: dict[str, str]) -> None:
    """Five seconds are a promise of the product, not a measurement of this machine."""
    assert boot["after_stop"] == "inactive success 0", boot["journal"]
    assert int(boot["stop_ms"]) <= 5000
