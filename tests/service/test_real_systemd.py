"""The system unit under a real systemd: a container that boots over this machine's own files.

One boot, in which a driver does one thing after the other and writes down what it saw; each test reads
one of those. Needs root, systemd-nspawn and an overlay file system. More than 400 lines: one driver and the
tests of what it wrote down.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from monitord.notify.receivers.journal import MESSAGE_ID
from monitord.service.accounts import sysusers_text
from monitord.service.templates import render_unit
from tests.service.booting import PRELUDE, boot_machine, furnish, write

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(1000),
    pytest.mark.skipif(sys.platform != "linux", reason="systemd runs on Linux only"),
]

# The watchdog of the shipped unit allows 30 s; six make the test shorter and the daemon no slower.
DROP_IN = "[Service]\nWatchdogSec=6s\n"
RECEIVER = '[[notify.receivers]]\nname = "journal"\nkind = "journald"\n'

DRIVER = r"""
came_back() { is_up && [ "$(prop NRestarts)" = "$1" ] && [ "$(prop MainPID)" != "$2" ]; }

# What somebody left in the manager's own environment: the interpreter would obey it before us.
mkdir /planted; echo 'open("/tmp/was-run", "w")' | tee /planted/sitecustomize.py /planted/typer.py > /dev/null
systemctl set-environment PYTHONPATH=/planted PYTHONHOME=/planted

systemd-sysusers /etc/sysusers.d/monitord.conf
systemctl start monitord.service; started=$?; say start $started
say active "$(prop ActiveState)"
[ $started = 0 ] || exit 0
until_true '[ -n "$(prop StatusText)" ]'; say status_text "$(prop StatusText)"
main=$(prop MainPID)
say uid "$(stat -c %u /proc/$main)"
say planted "$(tr '\0' '\n' < /proc/$main/environ | grep -c planted)"
systemctl unset-environment PYTHONPATH PYTHONHOME
say capabilities "$(sed -n 's/^CapEff:\t//p' /proc/$main/status)"
say data_mode "$(stat -c %a /var/lib/monitord)"
until_true '[ -s /var/lib/monitord/monitord.db ]'; say database $?
say watchdog "$(prop WatchdogUSec)"

rows_of() {
    /opt/monitord/bin/python - "$1" <<'END'
import sqlite3, sys
store = sqlite3.connect("file:/var/lib/monitord/monitord.db?mode=ro", uri=True)
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

until_true 'journalctl MESSAGE_ID='$MESSAGE_ID' -o json > /out/told; grep -q guilty /out/told'; say told $?

# A person with sudo asks the service's store, and changes it.
/opt/monitord/bin/monitord recent -o json > /out/recent; say asked_by_root $?
first=$(/opt/monitord/bin/python -c 'import json; print(json.load(open("/out/recent"))[0]["id"])')
/opt/monitord/bin/monitord keep "$first"; say kept_by_root $?
say owners "$(find /var/lib/monitord -printf '%U\n' | sort -u | tr '\n' ' ')"

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

# Encrypted with a key that only the unit is given: root reads and changes the store while it runs.
/opt/monitord/bin/python -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())' > /etc/monitord/key
chmod 600 /etc/monitord/key
mkdir -p /etc/systemd/system/monitord.service.d
printf '[Service]\nLoadCredential=key:/etc/monitord/key\n' > /etc/systemd/system/monitord.service.d/key.conf
printf '[storage]\nencryption_key = "credential:key"\n%s\n' "$(cat /out/config)" > /etc/monitord/config.toml
chmod 644 /etc/monitord/config.toml
systemctl daemon-reload; systemctl restart monitord.service; until_true is_up; say up_encrypted $?
burn perl /usr/bin/perl -e 'while (1) { $i++ }'
encrypted=$(/opt/monitord/bin/monitord recent --process perl -o json |
    /opt/monitord/bin/python -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])')
/opt/monitord/bin/monitord show "$encrypted" > /out/encrypted_show 2>&1; say encrypted_show $?
/opt/monitord/bin/monitord export "$encrypted" -o /out/encrypted.json 2> /dev/null; say encrypted_export $?
/opt/monitord/bin/monitord keep "$encrypted" > /dev/null 2>&1; say encrypted_keep $?
/opt/monitord/bin/monitord storage verify > /out/encrypted_verify 2>&1; say encrypted_verify $?
say encrypted_count "$(find /var/lib/monitord/artefacts -type f | wc -l)"

began=$(date +%s%N); systemctl stop monitord.service; say stop $?
say stop_ms $(( ($(date +%s%N) - began) / 1000000 ))
say after_stop "$(prop ActiveState) $(prop Result) $(prop ExecMainStatus)"

# Stopped, the key is nowhere: the error names a line that works.
/opt/monitord/bin/monitord storage verify > /out/without_key 2>&1; say without_key $?
systemd-run --pipe --wait -q -p LoadCredential=key:/etc/monitord/key \
    /opt/monitord/bin/monitord storage verify > /dev/null 2>&1; say by_systemd_run $?
rm /etc/systemd/system/monitord.service.d/key.conf; cp /out/config /etc/monitord/config.toml; systemctl daemon-reload

# An install whose service does not start puts the unit back that was there.
echo '# as it was' >> /etc/systemd/system/monitord.service
printf '[Service]\nExecStartPre=/bin/false\n' > /etc/systemd/system/monitord.service.d/fails.conf
systemctl daemon-reload
/opt/monitord/bin/monitord service install --system > /out/half_install 2>&1; say half_install $?
say unit_after_half_install "$(tail -n 1 /etc/systemd/system/monitord.service)"
rm /etc/systemd/system/monitord.service.d/fails.conf; systemctl daemon-reload
/opt/monitord/bin/monitord service start --system > /dev/null 2>&1; say start_after_half_install $?
systemctl stop monitord.service

# As the README says: install from a place of root's, take it away, and what it recorded with it.
/opt/monitord/bin/monitord service install --system > /out/install 2>&1; say install $?
until_true is_up; say up_after_install $?
/opt/monitord/bin/monitord service uninstall --system > /out/uninstall 2>&1; say uninstall $?
say data_after_uninstall "$([ -e /var/lib/monitord/monitord.db ] && echo kept)"
/opt/monitord/bin/monitord service uninstall --system --purge --yes > /out/purge 2>&1; say purge $?
say data_after_purge "$(ls -d /var/lib/monitord /var/lib/private/monitord 2> /dev/null | wc -l)"
exit 0
"""


@pytest.fixture(scope="module")
def boot(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the driver saw in one boot, and the `journal`."""
    return boot_machine(tmp_path_factory.mktemp("boot"), _prepare)


def _prepare(tree: Path) -> list[str]:
    unit = render_unit("systemd/monitord.service", ("/opt/monitord/bin/monitord",))
    write(tree / "etc/systemd/system/monitord.service.d/faster.conf", DROP_IN)
    write(tree / "etc/sysusers.d/monitord.conf", sysusers_text("monitord", Path("/var/lib/monitord")))
    binds = furnish(tree, unit, f"MESSAGE_ID={MESSAGE_ID}\n{PRELUDE}{DRIVER}")
    with (tree / "etc/monitord/config.toml").open("a", encoding="utf-8") as config:
        config.write(RECEIVER)
    return binds


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
    assert boot["data_mode"] == "2750"  # root's group of the service, which may read
    assert boot["database"] == "0", boot["journal"]


def test_root_may_ask_and_keep(boot: dict[str, str]) -> None:
    """`sudo monitord recent` and `keep` work on the dynamic user's store and leave nothing of root's there."""
    assert boot["asked_by_root"] == "0"
    assert boot["kept_by_root"] == "0"
    assert boot["owners"].split() == [boot["uid"]]


def test_it_names_the_guilty_function_of_another_users_python(boot: dict[str, str]) -> None:
    assert "profile|py-spy|ok||nobody|" in boot["python"], boot["python"] + boot["journal"]
    assert '"guilty"' in boot["python"]


def test_the_journal_is_told_who_was_guilty(boot: dict[str, str]) -> None:
    """`journalctl MESSAGE_ID=…` finds the message, with the fields of docs/notifications.md."""
    assert boot["told"] == "0", boot["journal"]
    entries = [json.loads(line) for line in boot["told_text"].splitlines()]
    guilty = [entry for entry in entries if entry.get("MONITORD_FUNCTION", "").startswith("guilty")]
    assert guilty, entries
    assert (guilty[0]["MONITORD_RULE"], guilty[0]["MONITORD_KIND"]) == ("cpu-hog", "incident")
    assert guilty[0]["MONITORD_ID"] in {row["correlation_id"] for row in json.loads(boot["recent"])}


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


def test_root_reads_what_is_encrypted_with_a_credential_while_it_runs(boot: dict[str, str]) -> None:
    """The key is given to the unit alone, and show, export, keep and verify find it."""
    done = {name: boot[f"encrypted_{name}"] for name in ("show", "export", "keep", "verify")}
    said = boot["encrypted_show_text"] + boot["encrypted_verify_text"]
    assert (boot["up_encrypted"], set(done.values())) == ("0", {"0"}), f"{done} {said}"


def test_without_the_service_the_error_names_a_line_that_has_the_key(boot: dict[str, str]) -> None:
    assert boot["without_key"] == "6"
    assert "systemd-run --pipe --wait -p LoadCredential=key:" in boot["without_key_text"]
    assert boot["by_systemd_run"] == "0"


def test_root_finds_a_healthy_service_in_order(boot: dict[str, str]) -> None:
    assert boot["doctor"] == "0", boot["doctor"]
    assert "belongs to the service's user" in boot["doctor_text"], boot["doctor_text"]
    assert boot["by_link"] == "0", boot["by_link_text"]


def test_an_ordinary_user_is_told_who_records(boot: dict[str, str]) -> None:
    assert "type `sudo usermod -aG monitord $USER` and log in again" in boot["ordinary"], boot["ordinary"]


def test_what_sudo_exports_belongs_to_who_asked(boot: dict[str, str]) -> None:
    assert boot["ticket_owner"] == "65534"


def test_an_install_that_fails_puts_the_unit_back(boot: dict[str, str]) -> None:
    assert boot["half_install"] != "0", boot["half_install_text"]
    assert boot["unit_after_half_install"] == "# as it was", boot["half_install_text"]
    assert boot["start_after_half_install"] == "0", boot["journal"]


def test_installed_and_uninstalled_it_leaves_what_was_said(boot: dict[str, str]) -> None:
    assert (boot["install"], boot["up_after_install"]) == ("0", "0"), boot["install_text"]
    assert (boot["uninstall"], boot["data_after_uninstall"]) == ("0", "kept"), boot["uninstall_text"]
    assert (boot["purge"], boot["data_after_purge"]) == ("0", "0"), boot["purge_text"]
    assert boot["config_owner"] == "0"


def test_it_stops_within_five_seconds_and_cleanly(boot: dict[str, str]) -> None:
    """Five seconds are a promise of the product, not a measurement of this machine."""
    assert boot["after_stop"] == "inactive success 0", boot["journal"]
    assert int(boot["stop_ms"]) <= 5000
