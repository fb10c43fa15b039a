"""The configuration: layers, origins, and one clear line for everything that is wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest

from monitord import config
from monitord.config.settings import FileSettings, RuleSettings
from monitord.errors import ConfigError
from monitord.model import Threshold, TriggerMetric
from tests.patience import PATIENCE_S

RULE = '[[rules]]\nname = "cpu-hog"\nmetric = "cpu"\nabove = 50\nwindow_s = 3\nclear_below = 20\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_without_a_file_the_defaults_are_complete(tmp_path: Path) -> None:
    """No file at all is a good configuration: the four metrics of the requirement have a rule."""
    settings = config.load(env={"HOME": str(tmp_path)}).settings
    metrics = {rule.metric for rule in settings.rules}
    assert {"cpu", "memory", "disk_io", "network"} <= metrics
    assert settings.sampling.interval_s == 2.0


def test_a_rule_of_the_file_replaces_the_default_of_the_same_name(tmp_path: Path) -> None:
    """cpu-hog is the user's now, once; the other defaults stay."""
    loaded = config.load(write(tmp_path, RULE), env={})
    (rule,) = [rule for rule in loaded.settings.rules if rule.name == "cpu-hog"]
    assert (rule.above, rule.window_s) == (Threshold(50.0, "percent"), 3.0)
    assert len(loaded.settings.rules) > 1


def test_default_rules_can_be_switched_off(tmp_path: Path) -> None:
    """[detection] default_rules = false leaves the file's own rules alone."""
    loaded = config.load(write(tmp_path, RULE + "[detection]\ndefault_rules = false\n"), env={})
    assert [rule.name for rule in loaded.settings.rules] == ["cpu-hog"]


def test_the_environment_wins_and_says_so(tmp_path: Path) -> None:
    """MONITORD_SECTION__KEY beats the file, and the origin of each value can be told."""
    path = write(tmp_path, "[sampling]\ninterval_s = 5\n[capture]\nrate_hz = 50\n")
    env = {"MONITORD_SAMPLING__INTERVAL_S": "0.5", "MONITORD_CAPTURE__ALLOW": "python*, ruby"}
    loaded = config.load(path, env=env)
    assert loaded.settings.sampling.interval_s == 0.5
    assert loaded.settings.capture.allow == ("python*", "ruby")
    assert loaded.origin("sampling.interval_s") == "environment MONITORD_SAMPLING__INTERVAL_S"
    assert loaded.origin("capture.rate_hz") == f"{path}:4"
    assert loaded.origin("retention.max_age_h") == "default"


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("[sampling]\nintervall_s = 2\n", 2, "sampling.intervall_s: unknown key (known here: interval_s"),
        ("[sampling]\ninterval_s = -1\n", 2, "sampling.interval_s: expected a number of at least 0.1"),
        ('[sampling]\ninterval_s = "fast"\n', 2, 'sampling.interval_s: expected a number of seconds or a text such as "10s"'),
        ("[samplin]\ninterval_s = 2\n", 1, "samplin: unknown key (known here: sampling"),
        ('[capture]\nconsent = "maybe"\n', 2, "capture.consent: expected one of auto, listed, never, got 'maybe'"),
        ("\n[[kules]]\nname = 'x'\n", 2, "kules: unknown key (known here: sampling"),
        (RULE + 'abvoe = 3\n', 7, "rules[0].abvoe: unknown key"),
        (RULE.replace("50", '"50MB/s"'), 4, "rule 'cpu-hog': above: expected a number of percent such as 90"),
        (RULE.replace("= 20", "= 60"), 6, "rule 'cpu-hog': clear_below: expected a level at or below `above`"),
        (RULE.replace('"cpu"\n', '"cpus"\n'), 3, "rules[0].metric: expected one of cpu, memory, disk_io, "),
        (RULE + RULE, 8, "rule 'cpu-hog': name: 'cpu-hog' is an earlier rule's"),
        (RULE.replace("above = 50\n", ""), 1, "rule 'cpu-hog': above: missing"),
        (
            '[[rules]]\nname = "net"\nmetric = "network"\nabove = "1MB/s"\nmatch.names = ["curl"]\n',
            5,
            "rule 'net': match: expected none in a network rule, which watches the whole machine",
        ),
        (RULE.replace("above", "below"), 4, "rule 'cpu-hog': below: expected `above` in a cpu rule"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_file_line_and_key(
    tmp_path: Path, text: str, line: int, expected: str
) -> None:
    """One line: where it stands, which key, what was expected; exit code 6."""
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        config.load(path, env={})
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: ")
    assert expected in message
    assert "\n" not in message
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("value", ["{ a = 1 }", "[[1]]", "1979-05-27", "-1e9", "true", '"x\\ty"'])
def test_no_refusal_speaks_a_programming_language(value: str, tmp_path: Path) -> None:
    """Of any key, with any kind of value that it does not take."""
    sections = {name: getattr(FileSettings(), name) for name in FileSettings.__struct_fields__}
    heads = [
        (f"[{name}]\n", key)
        for name, held in sections.items()
        for key in getattr(held, "__struct_fields__", ())
    ]
    heads += [('[[rules]]\nname = "r"\nmetric = "cpu"\n', key) for key in RuleSettings.__struct_fields__[2:]]
    said = [_refusal(write(tmp_path, f"{head}{key} = {value}\n")) for head, key in heads]
    refusals = [each for each in said if each]
    assert len(refusals) > 20
    in_types = re.compile(r"`(float|int|str|bool|array|object|null)|regex|[<>]=? ")
    assert [each for each in refusals if in_types.search(each)] == []


def _refusal(path: Path) -> str:
    try:
        config.load(path, env={})
    except ConfigError as error:
        return str(error)
    return ""


def test_broken_toml_and_missing_files_are_told(tmp_path: Path) -> None:
    """Neither is ever a traceback or a silent default."""
    with pytest.raises(ConfigError, match="not TOML"):
        config.load(write(tmp_path, "[sampling\n"), env={})
    with pytest.raises(ConfigError, match="no such file"):
        config.load(tmp_path / "none.toml", env={})
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        config.load(tmp_path / "config.toml", env={})


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * 1400 + " = 1",
        "[a" + ".a" * 1400 + "]",
        "a = " + "[" * 1400,
        "a = " + "[" * 300 + "]" * 300,
        "a = " + "{a=" * 400,
        "a = " + "{a=" * 200 + "1" + "}" * 200,
        "[[rules]]\nmatch" + ".names" * 1200 + " = 1",
    ],
)
def test_what_is_nested_deeply_is_refused_in_words(text: str, tmp_path: Path) -> None:
    """However deep, and in whatever way it is written; in a file and in a text to try out."""
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    for read in (lambda: config.load(path, env={}), lambda: config.parse_rules(text)):
        with pytest.raises(ConfigError, match=r"^(\S+:\d+: )?invalid "):
            read()


def test_a_bad_environment_value_names_its_variable() -> None:
    """The person who set the variable is told its name."""
    with pytest.raises(ConfigError, match="G__INTERVAL_S: invalid sampling"):
        config.load(env={"MONITORD_SAMPLING__INTERVAL_S": "soon"})
    with pytest.raises(ConfigError, match="environment MONITORD_SAMPLING__SPEED"):
        config.load(env={"MONITORD_SAMPLING__SPEED": "9"})


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("memory", 25, Threshold(25.0, "percent")),
        ("memory", "2GiB", Threshold(2.0 * 2**30, "bytes")),
        ("disk_io", "50MB/s", Threshold(50e6, "bytes_per_s")),
        ("network", "1GiB/s", Threshold(2.0**30, "bytes_per_s")),
        ("memory_growth", "512MiB", Threshold(2.0**29, "bytes")),
        ("free_memory", "5%", Threshold(5.0, "percent")),
    ],
)
def test_quantities_are_read_in_the_unit_of_their_metric(
    metric: str, value: object, expected: Threshold
) -> None:
    """SI and IEC units, percentages and bare numbers."""
    from monitord.config.quantities import parse_threshold

    assert parse_threshold(value, TriggerMetric(metric)) == expected


@pytest.mark.parametrize("value", ["", "nan", "-5MB/s", "50 parsecs", "1e309", 0, -1, float("inf"), "50MB"])
def test_impossible_quantities_are_refused(value: object) -> None:
    """A CPU threshold is a positive finite number of percent."""
    from monitord.config.quantities import parse_threshold

    with pytest.raises(ValueError, match="expected"):
        parse_threshold(value, TriggerMetric.CPU)


def test_the_file_of_config_init_is_the_defaults(tmp_path: Path) -> None:
    """Uncommented, the starting file says exactly what holds without it; as written, it changes nothing."""
    text = config.default_text()
    assert config.load(write(tmp_path, text), env={}).settings == config.load(env={"HOME": "/x"}).settings
    bare = "\n".join(line.removeprefix("# ") for line in text.splitlines() if _is_toml(line))
    plain = config.load(write(tmp_path, bare), env={}).settings
    assert plain.sampling == config.load(env={}).settings.sampling
    assert [rule.name for rule in plain.rules] == [rule.name for rule in config.load(env={}).settings.rules]


def _is_toml(line: str) -> bool:
    try:
        tomllib.loads(line.removeprefix("# "))
    except tomllib.TOMLDecodeError:
        return False
    return True


def test_the_schema_accepts_what_the_loader_accepts() -> None:
    """Editors get the same answer as the daemon."""
    schema = config.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(tomllib.loads(RULE), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"sampling": {"intervall_s": 2}}, schema)


def test_the_data_directory_is_decided_in_one_order(tmp_path: Path) -> None:
    """Flag, then MONITORD_DATA_DIR, then the service manager's directory."""
    env = {"MONITORD_DATA_DIR": str(tmp_path / "b"), "STATE_DIRECTORY": str(tmp_path / "c")}
    assert config.resolve_data_dir(tmp_path / "a", env) == tmp_path / "a"
    assert config.resolve_data_dir(None, env) == tmp_path / "b"
    assert config.resolve_data_dir(None, {"STATE_DIRECTORY": str(tmp_path / "c")}) == tmp_path / "c"


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    file = tmp_path / "marked.toml"
    file.write_bytes(b"\xef\xbb\xbf[sampling]\ninterval_s = 3.0\n")
    loaded = config.load(file, {})
    assert loaded.settings.sampling.interval_s == 3.0
    assert loaded.origin("sampling.interval_s") == f"{file}:2"


@pytest.mark.root
def test_root_may_ask_an_installation_that_is_a_users(tmp_path: Path) -> None:
    """What pipx put below a home: it is the program that is refused, where it must be, not its default rules."""
    shutil.copytree(Path(config.__file__).parents[1], tmp_path / "home" / "monitord")
    for path in (tmp_path / "home", *(tmp_path / "home").rglob("*")):
        os.chown(path, 1234, 1234)
    start = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'home')!r}); from monitord.cli import main; main()"
    )
    command = [sys.executable, "-I", "-B", "-c", start, "config", "show"]
    done = subprocess.run(command, env={"HOME": str(tmp_path)}, cwd="/", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


THREADS = """
import sys, threading
sys.setswitchinterval(1e-6)
from monitord.config import load

found_out, everybody = [], threading.Barrier(8)

def note(frame, event, _argument):
    if event == "call" and frame.f_code.co_name == "get_class_annotations":
        found_out.append(frame)

def ask():
    everybody.wait()
    load(None, {})

threading.setprofile(note)
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(found_out))
"""


def test_threads_may_ask_for_the_configuration_at_once() -> None:
    """What the classes of settings hold is found out before any thread asks: two that did so at once crashed."""
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout.strip()) == (0, "0"), done.stderr[-2000:]


@pytest.mark.parametrize(
    "text",
    [
        "\nlog.level = 'debug'\n",
        "\nlog = {level = 'debug'}\n",
        "[log]\n\"level\" = 'debug'\n",
        "[ 'log' ]\nlevel = 'debug'\n",
    ],
)
def test_a_value_has_its_line_however_it_is_written(text: str, tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_text(text)
    loaded = config.load(tmp_path / "odd.toml", {})
    assert loaded.origin("log.level").startswith(f"{tmp_path / 'odd.toml'}:")
    assert loaded.origin("log.style") == "default"


@pytest.mark.parametrize("text", ["log." + "a." * 5000 + "b = 1", "[" + "a." * 5000 + "b]\nx = 1"])
def test_tables_within_tables_without_end_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "deep.toml").write_text(text)
    with pytest.raises(ConfigError, match="tables within tables"):
        config.load(tmp_path / "deep.toml", {})
