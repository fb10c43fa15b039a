"""The machine's service from what a real pipx left below a home, under a real systemd: install, upgrade, read, purge.

One boot, in which a driver does one thing after the other and writes down what it saw; each test reads
one of those.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from monitord.service.templates import render_unit
from tests.service.booting import PRELUDE, boot_machine, furnish, of_readme, write

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(1000),
    pytest.mark.skipif(sys.platform != "linux", reason="systemd runs on Linux only"),
]

# pipx with the versions that are tested.
PIPX = r"""#!/bin/bash -e
[ -f monitord/web/assets/pinned.json ] || export MONITORD_WITHOUT_ASSETS=1
export PIP_CONSTRAINT=$PWD/constraints.txt
exec /opt/pipx/bin/pipx "$@"
"""

# Earlier versions let systemd make up a user, whose folder only root could enter.
EARLIER = {
    "User=monitord\n": "DynamicUser=yes\nUser=monitord\n",
    "StateDirectoryMode=2750\n": "StateDirectoryMode=0700\n",
}

DRIVER = r"""
as() { user=$1; shift; runuser -l "$user" -c "$*" < /dev/null; }
ours() { find /etc /opt /usr /var /home /root -xdev -iname '*monitord*' -not -path '/home/*/.local/*' \
    -not -path '/var/log/*' -not -path '*/.cache/*' 2> /dev/null | sort; }
mine() { find /home/alice -not -path '*/.local/share/pipx*' -not -path '*/.local/bin*' -not -path '*/.cache*' | sort; }
id_of() { python3 -c 'import json; print(json.load(open("/out/'"$1"'"))[0]["id"])'; }

useradd -m -s /bin/bash alice; useradd -m -s /bin/bash bob
echo 'alice ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/alice; chmod 440 /etc/sudoers.d/alice
chmod 755 /home/alice  # as many distributions have it
(python3 -m venv /opt/pipx && /opt/pipx/bin/pip install -q pipx==1.18.4) > /out/pipx 2>&1; say pipx $?

# What an earlier version recorded, and what of this machine was called so before.
systemctl start monitord.service; say start $?
say earlier_link "$(readlink /var/lib/monitord)"
runuser -u nobody -- timeout 120 /usr/bin/awk 'BEGIN { while (1) i++ }' < /dev/null > /dev/null 2>&1 & burner=$!
until_true '/opt/monitord/bin/monitord recent -o json | grep -q awk'; say earlier_recorded $?
kill $burner; wait $burner
ours | grep -v -e ^/opt/monitord/ -e ^/opt/monitord$ -e ^/etc/monitord -e ^/var/lib -e ^/etc/systemd > /tmp/before

# As the README says, by an ordinary user who may use sudo.
as alice 'cd /checkout && bash -ex /readme.sh' > /out/readme 2>&1; readme=$?; say readme $readme
[ $readme = 0 ] || exit 0
until_true is_up; say up_after_readme $?
main=$(prop MainPID); version=$(readlink /opt/monitord/current)
say program "$(prop ExecStart | grep -o 'path=[^ ]*')"
say running "$(tr '\0' ' ' < /proc/$main/cmdline)"
say runs_as "$(stat -c %U:%G /proc/$main)"
say not_roots "$(find /opt/monitord/versions /opt/monitord/current ! -uid 0 | wc -l)"
say writable "$(find /opt/monitord/versions ! -type l -perm /022 | wc -l)"
say points_home "$(grep -rIl /home/alice /opt/monitord/versions/*/bin /opt/monitord/versions/*/lib/python*/site-packages/*.pth 2> /dev/null | wc -l)"
say store "$(stat -c '%F %a %U:%G' /var/lib/monitord)"
say kept_over_change "$(monitord=/opt/monitord/current/bin/monitord; $monitord recent -o json | grep -c '"awk"')"

# Alice was let in by the README's last line; the session that she began before does not know it yet.
as alice '~/.local/bin/monitord recent -o json' > /out/read_recent; say read_recent $?
first=$(id_of read_recent)
for words in status "show $first" hot "events" "storage ls" doctor; do
    as alice "/opt/monitord/current/bin/monitord $words" >> /out/read_more 2>&1 || echo "$words: $?" >> /out/read_failed
done
touch /out/read_failed
as alice "/opt/monitord/current/bin/monitord export $first -o /home/alice/ticket.json" > /out/read_export 2>&1; say read_export $?
as alice "/opt/monitord/current/bin/monitord keep $first" > /out/member_changes 2>&1; say member_changes $?
systemctl restart monitord.service; until_true is_up
runuser -u nobody -- timeout 120 /usr/bin/perl -e 'while (1) { $i++ }' < /dev/null > /dev/null 2>&1 & burner=$!
until_true "as alice '/opt/monitord/current/bin/monitord recent -o json' | grep -q perl"; say read_new $?
kill $burner; wait $burner
systemctl stop monitord.service
as alice '/opt/monitord/current/bin/monitord recent -o json' > /dev/null 2> /out/read_stopped; say read_stopped $?
systemctl start monitord.service
say closed_files "$(find /var/lib/monitord -maxdepth 1 -name 'monitord.db*' ! -perm -040 | wc -l)"
say open_to_all "$(find /var/lib/monitord -perm /007 | wc -l)"
as bob 'monitord recent' > /out/stranger 2>&1; say stranger $?
as bob 'cat /var/lib/monitord/status.json' > /dev/null 2>&1; say stranger_reads $?
usermod -aG monitord bob
setpriv --reuid bob --regid bob --clear-groups env HOME=/home/bob /opt/monitord/current/bin/monitord recent > /out/too_early 2>&1
say too_early $?
as bob 'timeout -s INT 60 /opt/monitord/current/bin/monitord run' > /out/own 2>&1 & recorder=$!
until_true '[ -s /home/bob/.local/state/monitord/monitord.db ]'; pkill -INT -u bob -f monitord.daemon; wait $recorder
say own_store "$(stat -c '%a %U' /home/bob/.local/state/monitord)"

# Twice does no harm, whichever program is asked.
/opt/monitord/current/bin/monitord service install --system > /out/twice 2>&1; say twice $?
say same_version "$([ "$(readlink /opt/monitord/current)" = "$version" ] && echo yes)"
/opt/monitord/current/bin/monitord doctor > /out/doctor 2>&1; say doctor $?

# What a third could change is not taken over.
packages=$(echo /home/alice/.local/share/pipx/venvs/monitord/lib/python*/site-packages)
chmod o+w $packages/typer/main.py
as alice 'sudo ~/.local/bin/monitord service upgrade --system' > /out/third 2>&1; say third $?
say still "$(readlink /opt/monitord/current) $(prop ActiveState)"
chmod o-w $packages/typer/main.py
~alice/.local/bin/monitord service install --system > /out/no_sudo 2>&1; say no_sudo $?

# A version that does not start gives way to the one before it; the next one that does stays.
cp $packages/monitord/daemon/loop.py /tmp/loop.py
as alice "echo 'raise SystemExit(3)' >> $packages/monitord/daemon/loop.py"
as alice 'sudo ~/.local/bin/monitord service upgrade --system' > /out/broken 2>&1; say broken $?
until_true is_up; say up_after_broken "$(prop ActiveState) $(readlink /opt/monitord/current)"
cp /tmp/loop.py $packages/monitord/daemon/loop.py
mkdir -p /planted/monitord; echo 'open("/tmp/was-run", "w")' | tee /planted/monitord/__init__.py /planted/typer.py \
    /planted/sitecustomize.py /planted/tarfile.py /planted/venv.py /planted/compileall.py > /dev/null; chmod -R a+rX /planted
as alice 'cd /planted; PYTHONPATH=/planted sudo ~/.local/bin/monitord service upgrade --system' > /out/upgrade 2>&1; say upgrade $?
say planted "$(ls /tmp/was-run 2> /dev/null | wc -l)"; rm -r /planted
until_true is_up; say up_after_upgrade "$(prop ActiveState)"
say upgraded "$([ "$(readlink /opt/monitord/current)" != "$version" ] && echo yes)"
say before_it "$(readlink /opt/monitord/previous)"; say first_version "$version"
say versions "$(ls /opt/monitord/versions | wc -l)"

# Taken away, as it came.
as alice 'sudo monitord service uninstall --system' > /out/uninstall 2>&1; say uninstall $?
say kept "$([ -e /var/lib/monitord/monitord.db ] && [ -e /etc/monitord/config.toml ] && echo yes)"
mkdir -p /etc/systemd/system/monitord.service.d; printf '[Service]\nNice=6\n' > /etc/systemd/system/monitord.service.d/override.conf
/opt/monitord/current/bin/monitord service install --system > /out/again 2>&1; say again $?
/opt/monitord/current/bin/monitord service uninstall --system --purge --yes > /out/purge 2>&1; say purge $?
ours > /tmp/after; comm -13 /tmp/before /tmp/after > /out/left
say account "$(getent passwd monitord | wc -l) $(getent group monitord | wc -l)"
say unit_state "$(systemctl show monitord.service -p LoadState --value)"
say sudoers "$([ -e /etc/sudoers.d/alice ] && [ -e /home/bob/.local/state/monitord/monitord.db ] && echo yes)"

# Alice's own service, under her own manager.
uid=$(id -u alice); mine > /tmp/mine; rm -f /home/alice/ticket.json
mkdir -p /var/lib/systemd/linger; touch /var/lib/systemd/linger/alice
systemctl start user@$uid.service; say user_manager $?
by_alice() { runuser -u alice -- env HOME=/home/alice XDG_RUNTIME_DIR=/run/user/$uid /home/alice/.local/bin/monitord "$@"; }
by_alice service install > /out/user_install 2>&1; say user_install $?
by_alice config init > /dev/null 2>&1
by_alice service upgrade > /out/user_upgrade 2>&1; say user_upgrade $?
by_alice status > /out/user_status 2>&1; say user_status $?
by_alice service uninstall --purge --yes > /out/user_purge 2>&1; say user_purge $?
mine > /tmp/mine_after; comm -13 /tmp/mine /tmp/mine_after | grep -i monitord > /out/user_left
by_alice service upgrade > /out/not_installed 2>&1; say not_installed $?
exit 0
"""


@pytest.fixture(scope="module")
def boot(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the driver saw in one boot, and the `journal`."""
    seen = boot_machine(tmp_path_factory.mktemp("boot"), _prepare)
    assert (seen["pipx"], seen["readme"]) == ("0", "0"), seen["pipx_text"] + seen.get("readme_text", "")
    return seen


def _prepare(tree: Path) -> list[str]:
    unit = render_unit("systemd/monitord.service", ("/opt/monitord/bin/monitord",))
    for now, before in EARLIER.items():
        assert now in unit
        unit = unit.replace(now, before)
    write(tree / "readme.sh", of_readme("For the whole machine"))
    write(tree / "usr/local/bin/pipx", PIPX)
    (tree / "usr/local/bin/pipx").chmod(0o755)
    return furnish(tree, unit, PRELUDE + DRIVER)


def test_what_readme_says_to_type_installs_the_machines_service(boot: dict[str, str]) -> None:
    """Word for word, from a checkout, by an ordinary user with sudo, over an earlier version that runs."""
    assert (boot["readme"], boot["up_after_readme"]) == ("0", "0"), boot["readme_text"] + boot["journal"]
    assert boot["program"] == "path=/opt/monitord/current/bin/monitord"
    assert boot["running"].startswith("/opt/monitord/versions/")
    assert boot["runs_as"] == "monitord:monitord"


def test_its_environment_is_roots_alone(boot: dict[str, str]) -> None:
    assert (boot["not_roots"], boot["writable"], boot["points_home"]) == ("0", "0", "0")


def test_what_an_earlier_version_recorded_stays_and_is_open_to_the_group(boot: dict[str, str]) -> None:
    assert boot["earlier_link"] == "private/monitord"
    assert boot["earlier_recorded"] == "0", boot["journal"]
    assert boot["store"] == "directory 2750 monitord:monitord"
    assert boot["kept_over_change"] != "0"


def test_a_member_of_the_group_reads(boot: dict[str, str]) -> None:
    """What is old and what is new, while the recorder runs and while it does not; every question is answered."""
    assert (boot["read_recent"], boot["read_new"], boot["read_stopped"]) == ("0", "0", "0"), boot
    assert '"awk"' in boot["read_recent_text"]
    assert boot["read_export"] == "0", boot["read_export_text"]
    assert boot["read_failed"] == "", boot["read_failed"] + boot["read_more"][-3000:]
    assert (boot["closed_files"], boot["open_to_all"]) == ("0", "0")


def test_a_member_of_the_group_changes_nothing(boot: dict[str, str]) -> None:
    assert boot["member_changes"] == "4"
    assert "you may only read what the machine's service recorded; try sudo" in boot["member_changes_text"]


def test_anybody_else_is_told_what_to_type(boot: dict[str, str]) -> None:
    assert (boot["stranger"], boot["stranger_reads"]) == ("4", "1")
    (line,) = boot["stranger_text"].splitlines()
    assert "type `sudo usermod -aG monitord $USER` and log in again" in line
    assert boot["too_early"] == "4"
    assert "this session began before; log in again" in boot["too_early_text"]


def test_who_records_for_himself_has_a_store_of_his_own(boot: dict[str, str]) -> None:
    assert boot["own_store"] == "700 bob", boot["own"]


def test_installing_twice_does_no_harm(boot: dict[str, str]) -> None:
    assert (boot["twice"], boot["same_version"]) == ("0", "yes"), boot["twice_text"]
    assert boot["doctor"] == "0", boot["doctor_text"]


def test_root_takes_over_nothing_that_a_third_can_change(boot: dict[str, str]) -> None:
    """Nor what is an ordinary user's, without that user's sudo."""
    assert boot["third"] == "4", boot["third_text"]
    assert "typer/main.py can be written by others" in boot["third_text"]
    assert boot["still"] == f"{boot['first_version']} active"
    assert boot["no_sudo"] == "4", boot["no_sudo_text"]
    assert "belongs to alice" in boot["no_sudo_text"]


def test_a_version_that_does_not_start_gives_way(boot: dict[str, str]) -> None:
    assert boot["broken"] == "1", boot["broken_text"]
    assert "which ran before, runs again" in boot["broken_text"]
    assert boot["up_after_broken"] == f"active {boot['first_version']}"


def test_an_upgrade_keeps_the_version_before_it(boot: dict[str, str]) -> None:
    assert (boot["upgrade"], boot["up_after_upgrade"]) == ("0", "active"), boot["upgrade_text"]
    assert (boot["upgraded"], boot["before_it"], boot["versions"]) == ("yes", boot["first_version"], "2")


def test_nothing_of_a_folder_or_of_an_environment_runs_as_root(boot: dict[str, str]) -> None:
    assert (boot["upgrade"], boot["planted"]) == ("0", "0")


def test_uninstalling_keeps_what_was_recorded(boot: dict[str, str]) -> None:
    assert (boot["uninstall"], boot["kept"], boot["again"]) == ("0", "yes", "0"), boot["again_text"]


def test_a_purge_leaves_nothing_of_it_and_everything_else(boot: dict[str, str]) -> None:
    assert boot["purge"] == "0", boot["purge_text"]
    assert boot["left"] == ""
    assert (boot["account"], boot["unit_state"], boot["sudoers"]) == ("0 0", "not-found", "yes")


def test_a_users_own_service_comes_and_goes_without_a_trace(boot: dict[str, str]) -> None:
    assert boot["user_manager"] == "0"
    assert (boot["user_install"], boot["user_upgrade"]) == ("0", "0"), (
        boot["user_install_text"] + boot["user_upgrade_text"]
    )
    assert boot["user_status"] == "0", boot["user_status_text"]
    assert (boot["user_purge"], boot["user_left"]) == ("0", ""), boot["user_purge_text"]
    assert boot["not_installed"] == "3"
    assert "cannot upgrade: no service is installed" in boot["not_installed_text"]
