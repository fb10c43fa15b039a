"""`config get` and `config set`: one value, checked before it is written; and who takes it up."""

from __future__ import annotations

import json
import os
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from monitord import config
from monitord.actions.configuration import check_config, shown_settings
from monitord.config import LoadedConfig
from monitord.config.settings import _BUILT_IN, FileSettings
from monitord.errors import ConfigError
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.recorder.status import nobody_records, write_status

DEFAULTS = {
    f"{section}.{key}": value
    for section, keys in msgspec.to_builtins(FileSettings()).items()
    if isinstance(keys, dict)
    for key, value in keys.items()
}
WRITTEN = """\
# mine, and it stays
[sampling]   # how often
interval_s = 2.0  # two seconds

[[rules]]
name = "own"
metric = "cpu"  # of one core
above = 50

[capture]
deny = [
  "gpg-agent",
]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(WRITTEN)
    path.chmod(0o640)
    return path


def typed(value: object) -> str:
    """A value as somebody types it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


@pytest.mark.parametrize(("key", "value"), DEFAULTS.items(), ids=DEFAULTS)
def test_every_key_can_be_read_and_set(key, value, here, tmp_path) -> None:
    """To what it is: the file then has it, and nothing else."""
    made = tmp_path / "made.toml"
    shown = here("config", "get", key, "-o", "json")
    assert json.loads(shown.out)[0]["key"] == key
    answer = here("--config", str(made), "config", "set", key, typed(value))
    assert (answer.code, answer.err) == (0, f"{nobody_records()}; that takes it up\n")
    section = key.partition(".")[0]
    assert list(tomllib.loads(made.read_text())) == [section]
    again = json.loads(here("--config", str(made), "config", "get", key, "-o", "json").out)[0]
    assert (again["value"], again["origin"]) == (json.loads(json.dumps(value)), f"{made}:2")


def test_a_value_alone_is_for_scripts(here, file) -> None:
    assert here("--config", str(file), "config", "get", "sampling.interval_s").out == "2.0\n"
    assert here("--config", str(file), "config", "get", "log.level").out == "info\n"
    assert here("--config", str(file), "config", "get", "capture.deny").out == '["gpg-agent"]\n'
    assert here("--config", str(file), "config", "get", "rules.own.above").out == "50.0\n"
    assert here("--config", str(file), "config", "get", "rules.own.cooldown_s").out == "600.0\n"
    assert 'log.style = "auto"\n' in here("--config", str(file), "config", "get", "log").out


def test_all_other_lines_stay(here, file) -> None:
    """Comments, order, the mode of the file: as they were; the change is one line."""
    answer = here("--config", str(file), "config", "set", "sampling.interval_s", "5s")
    assert answer.out == f"sampling.interval_s = 5.0 (was 2.0) in {file}\n"
    assert file.read_text() == WRITTEN.replace("interval_s = 2.0  #", 'interval_s = "5s"  #')
    here("--config", str(file), "config", "set", "rules.own.above", "60")
    here("--config", str(file), "config", "set", "capture.deny", "a,b c")
    assert file.read_text() == WRITTEN.replace("= 2.0  #", '= "5s"  #').replace(
        "above = 50", "above = 60"
    ).replace('[\n  "gpg-agent",\n]', '["a", "b c"]')
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in file.parent.iterdir() if path.suffix == ".part"] == []


WRONG = [
    ("sampling.interval_s", "0", 6, "invalid sampling.interval_s: expected a number of at least 0.1"),
    ("sampling.interval_s", "1M", 6, 'ambiguous, expected "1min" for minutes'),
    ("capture.consent", "maybe", 6, "expected one of auto, listed, never, got 'maybe'"),
    ("rules.own.above", "much", 6, "invalid rule 'own': above: expected a number of percent"),
    ("rules.own.clear_below", "90", 6, "expected a level at or below `above`"),
    ("rules.own.name", "other", 6, "edit the file by hand to rename a rule"),
    ("rules.own.match", "x", 6, "edit the file by hand to rename a rule or to change what it matches"),
    ("storage.url", "nosuch://x", 6, "nosuch"),
    ("capture.deny", "[" * 5000, 6, 'expected a list such as ["a"]'),
    ("capture.deny", "[a", 6, 'expected a list such as ["a"]'),
    ("sampling.intervl", "1", 2, "did you mean sampling.interval_s?"),
    ("rules.nope.above", "1", 2, "invalid key 'rules.nope.above'"),
    ("sampling", "1", 2, "expected one value, such as sampling.interval_s"),
    ("", "1", 2, "invalid key ''"),
    ("log.level\nx", "1", 2, "invalid key"),
    ("capture.duration_s", "inf", 6, "expected a finite number, got inf"),
    ("capture.rate_hz", "nan", 6, "expected a finite number, got nan"),
    ("capture.deny", "[1979-05-27]", 6, "expected a text, a number, true or false, got 1979-05-27"),
    ("rules.own.match.names", "a", 6, "by hand"),
    ("rules.hang.name", "a", 6, "by hand"),
    ("notify.receivers[0].enabled", "false", 6, "by hand"),
    ("notify.receivers.team.enabled", "false", 6, "by hand"),
]


@pytest.mark.parametrize(
    ("key", "value", "code", "said"), WRONG, ids=[f"{one[0]!r} {one[1][:20]}" for one in WRONG]
)
def test_what_would_not_be_valid_is_not_written(key, value, code, said, here, file) -> None:
    answer = here("--config", str(file), "config", "set", key, value)
    assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1)
    assert said in answer.err
    assert file.read_text() == WRITTEN


def test_a_default_rule_is_copied_before_it_is_changed(here, file) -> None:
    """One of the same name replaces the default whole: what it had stays in force."""
    before = {each["name"]: each for each in json.loads(here("rules", "list", "-o", "json").out)}
    answer = here("--config", str(file), "config", "set", "rules.disk-flood.above", "200MB/s")
    assert (answer.code, answer.out) == (0, f'rules.disk-flood.above = "200MB/s" (was "100MB/s") in {file}\n')
    assert file.read_text().startswith(WRITTEN)
    after = {
        each["name"]: each
        for each in json.loads(here("--config", str(file), "rules", "list", "-o", "json").out)
    }
    changed = {key for key in before["disk-flood"] if before["disk-flood"][key] != after["disk-flood"][key]}
    assert changed == {"above"}
    assert set(after) == {*before, "own"}


def test_rules_of_another_file_are_not_thrown_out(here, tmp_path, monkeypatch) -> None:
    """A file with rules replaces those of a weaker file: that is refused, and said."""
    from monitord.config import loading

    system = tmp_path / "etc/config.toml"
    system.parent.mkdir()
    system.write_text(WRITTEN)
    monkeypatch.setattr(loading, "SYSTEM_FILE", system)
    answer = here("config", "set", "rules.disk-flood.above", "200MB/s")
    assert (answer.code, f"the rules of {system} are in force" in answer.err) == (6, True)
    assert here("config", "set", "log.level", "debug").code == 0
    assert here("config", "path").out.splitlines()[0] == str(system)


def test_what_is_stronger_is_named(here, file) -> None:
    answer = here("--config", str(file), "config", "set", "log.level", "debug", MONITORD_LOG__LEVEL="error")
    assert answer.err == "environment MONITORD_LOG__LEVEL is stronger and stays in force: log.level = error\n"
    assert tomllib.loads(file.read_text())["log"] == {"level": "debug"}


@pytest.mark.parametrize("key", ["sampling.interval_s", "sampling.ring_s"])
def test_it_says_whether_a_reload_is_enough(key, here, store, data_dir, tmp_path, file) -> None:
    """Of a recorder that runs: what it was built with waits for a restart."""
    status = {"pid": os.getpid(), "config_paths": [str(file)], "taken_at": datetime.now(UTC)}
    with hold(data_dir / DAEMON_LOCK, "busy"):
        write_status(data_dir, status)
        answer = here("--config", str(file), "config", "set", key, "60")
        other = here("--config", str(tmp_path / "other.toml"), "config", "set", key, "61")
    is_built_in = key.partition(".")[2] in _BUILT_IN["sampling"]
    said = "only a restart takes up sampling.ring_s: `monitord service restart`"
    assert answer.err == (f"{said}\n" if is_built_in else "`monitord service reload` takes it up\n")
    assert other.err == f"the recorder reads {file}, and not {tmp_path / 'other.toml'}: say --config\n"


def test_a_link_stays_a_link(here, file, tmp_path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    assert here("--config", str(link), "config", "set", "log.level", "debug").code == 0
    assert link.is_symlink()
    assert tomllib.loads(file.read_text())["log"] == {"level": "debug"}


def test_what_opens_doors_in_a_url_is_not_shown(here, file) -> None:
    answer = here("--config", str(file), "config", "set", "storage.url", "s3://key:secret@bucket/x")
    assert (answer.code, "secret" in answer.out + answer.err) == (0, False)
    assert "secret" not in here("--config", str(file), "config", "get", "storage").out


def test_the_user_s_own_file_is_made_where_none_is(here, tmp_path) -> None:
    answer = here("config", "set", "log.level", "debug")
    made = tmp_path / "config/monitord/config.toml"
    assert (answer.code, made.read_text()) == (0, '[log]\nlevel = "debug"\n')
    assert here("config", "get", "log.level").out == "debug\n"


def test_an_unwritable_file_is_one_line(here, tmp_path) -> None:
    (tmp_path / "no").write_text("")
    answer = here("--config", str(tmp_path / "no/config.toml"), "config", "set", "log.level", "debug")
    assert (answer.code, answer.err.count("\n")) == (6, 1)
    assert answer.err.startswith("monitord: cannot ")


ODD = {
    "a dotted key": "log.level = 'info'\n",
    "tables in lines": "rules = [{name='x', metric='cpu', above=1, window_s=5}]\n",
    "an inline table": "log = {level = 'info'}\n",
    "quoted names": '["log"]\n"level" = \'info\'\n',
    "CRLF": "[log]\r\nlevel = 'info' # why\r\n",
    "no last line break": "[log]\nlevel = 'info'",
    "nothing": "",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
@pytest.mark.parametrize(("key", "value"), [("log.level", "debug"), ("rules.hang.above", "70")])
def test_an_odd_file_is_changed_or_refused_in_one_line(key, value, text, here, tmp_path) -> None:
    """And what is in force is said to stand in the file, on its line, however it is written."""
    odd = tmp_path / "odd.toml"
    odd.write_bytes(text.encode())
    answer = here("--config", str(odd), "config", "set", key, value)
    assert answer.code in (0, 6)
    assert answer.err.count("\n") == 1
    assert "stronger" not in answer.err
    if answer.code == 6:
        assert odd.read_bytes() == text.encode()
    else:
        shown = json.loads(here("--config", str(odd), "config", "get", key, "-o", "json").out)[0]
        assert str(shown["value"]).removesuffix(".0") == value
        assert shown["origin"].startswith(f"{odd}:")


def test_links_in_a_circle_are_one_line(here, tmp_path) -> None:
    (tmp_path / "circle.toml").symlink_to("circle.toml")
    answer = here("--config", str(tmp_path / "circle.toml"), "config", "set", "log.level", "debug")
    assert (answer.code, answer.out, answer.err.count("\n")) == (6, "", 1)


def test_a_list_of_tables_is_read_by_its_name(here, tmp_path) -> None:
    (tmp_path / "told.toml").write_text("[[notify.receivers]]\nname = 'a'\nkind = 'journald'\n")
    answer = here("--config", str(tmp_path / "told.toml"), "config", "get", "notify.receivers")
    assert answer.out.startswith('notify.receivers[0].name = "a"\n')


def test_what_is_in_force_for_another_recorder_is_not_passed_off_as_its_own(
    here, store, data_dir, tmp_path, file
) -> None:
    """The recorder was started with a file that this call does not read: one line on stderr."""
    status = {"pid": os.getpid(), "config_paths": [str(file)], "taken_at": datetime.now(UTC)}
    said = f"the recorder reads {file}, not what is shown here: say --config\n"
    calls = (["config", "show"], ["config", "get", "log.level"], ["rules", "list"])
    with hold(data_dir / DAEMON_LOCK, "busy"):
        write_status(data_dir, status)
        assert [here(*call).err for call in calls] == [said] * 3
        assert [here("--config", str(file), *call).err for call in calls] == [""] * 3
    assert not any("the recorder reads" in here(*call).err for call in calls)


SECRET_URL = "s3://u:hunter2@bucket/x?secret=hunter2"


def _loaded_with(path: Path, key: str) -> LoadedConfig | None:
    """The configuration with this URL; None where the key takes no such text."""
    section, _, name = key.partition(".")
    more = "warm_mb = 1\n" if section == "analytics" else ""
    path.write_text(f"[{section}]\n{name} = {json.dumps(SECRET_URL)}\n{more}")
    try:
        return config.load(path, {})
    except ConfigError:
        return None


def test_no_setting_shows_the_secrets_of_a_url(tmp_path: Path) -> None:
    """Whatever takes a URL is shown without user, password and options, those of tomorrow too."""
    texts = [key for key, value in DEFAULTS.items() if value == ""]
    loaded = {key: _loaded_with(tmp_path / "config.toml", key) for key in texts}
    shown = {key: str(shown_settings(one)) for key, one in loaded.items() if one is not None}
    assert shown.keys() >= {"storage.url", "state.url", "ship.url", "fleet.url", "analytics.cold_url"}
    assert [key for key, text in shown.items() if "hunter2" in text] == []


def test_a_folder_is_shown_as_it_was_written(tmp_path: Path) -> None:
    """A plain path holds nothing to hide."""
    path = tmp_path / "config.toml"
    path.write_text('[ship]\nurl = "/srv/fleet"\n')
    assert shown_settings(config.load(path, {}))["ship"]["url"] == "/srv/fleet"  # type: ignore[index]


@pytest.mark.parametrize("key", ["storage.url", "ship.url", "fleet.url", "analytics.cold_url"])
def test_a_bucket_that_nothing_knows_is_refused(key: str, tmp_path: Path) -> None:
    """By validating alone, with the line that has it."""
    path = tmp_path / "config.toml"
    section, _, name = key.partition(".")
    more = "warm_mb = 1\n" if section == "analytics" else ""
    path.write_text(f'[{section}]\n{name} = "gopher://x"\n{more}')
    with pytest.raises(ConfigError, match=key):
        check_config(config.load(path, {}))
