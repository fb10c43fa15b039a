"""Durations and sizes with a unit mean the number that their key counts in, wherever they are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord import config
from monitord.config.quantities import has_unit, parse_amount, parse_threshold, seconds_of
from monitord.config.settings import FileSettings, RuleSettings
from monitord.errors import ConfigError
from monitord.model import Threshold, TriggerMetric

UNITS = {"_s": "s", "_h": "h", "_days": "days", "_mb": "MB", "_cpu": "KiB"}
RULE = '[[rules]]\nname = "r"\nmetric = "cpu"\nabove = 90\n'


def numbers() -> Iterator[tuple[str, str, float]]:
    """(section, key, default) of every number whose key ends with a unit of time or size."""
    for section, keys in msgspec.to_builtins(FileSettings()).items():
        if isinstance(keys, dict):
            yield from ((section, key, value) for key, value in keys.items() if has_unit(key))
    rule = msgspec.to_builtins(RuleSettings(name="r", metric="cpu"))
    yield from (("rules", key, value) for key, value in rule.items() if has_unit(key))


FOUND = list(numbers())


def text_of(section: str, key: str, value: str) -> str:
    return f"{RULE}{key} = {value}\n" if section == "rules" else f"[{section}]\n{key} = {value}\n"


def loaded(tmp_path: Path, text: str) -> object:
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    return config.load(file, env={}).settings


def test_the_keys_with_a_unit_were_found() -> None:
    """Else every test below is of nothing; and each of them is a number."""
    assert len(FOUND) >= 15
    assert all(isinstance(value, int | float) for _section, _key, value in FOUND)


@pytest.mark.parametrize(("section", "key", "value"), FOUND, ids=[f"{one[0]}.{one[1]}" for one in FOUND])
def test_a_number_and_the_same_with_its_unit_are_one_setting(section, key, value, tmp_path) -> None:
    """In a file, in a rule, and for editors; a text that is no amount names file, line, key and the form."""
    unit = next(unit for ending, unit in UNITS.items() if key.endswith(ending))
    number = loaded(tmp_path, text_of(section, key, str(value)))
    text = text_of(section, key, f'"{value:g}{unit}"')
    assert loaded(tmp_path, text) == number
    one = {key: f"{value:g}{unit}"}
    rule = {"name": "r", "metric": "cpu", "above": 90}
    document = {"rules": [rule | one]} if section == "rules" else {section: one}
    jsonschema.validate(document, config.json_schema())
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text_of(section, key, '"soon"'))
    line = 5 if section == "rules" else 2
    assert str(caught.value).startswith(f"{tmp_path / 'config.toml'}:{line}: invalid ")
    assert f"{key}: expected a number of " in str(caught.value)


@pytest.mark.parametrize("value", ["10", "10s", "1M", "250ms"])
def test_the_environment_is_read_as_a_file_is(value: str) -> None:
    name = "MONITORD_CAPTURE__DURATION_S"
    if value == "1M":
        with pytest.raises(ConfigError, match=f'environment {name}: invalid .* "1min" for minutes or "30d"'):
            config.load(env={name: value})
    elif value == "250ms":
        with pytest.raises(ConfigError, match=r"expected a number of at least 0.5"):
            config.load(env={name: value})
    else:
        assert config.load(env={name: value}).settings.capture.duration_s == 10.0


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("window_s", "250ms", 0.25),
        ("window_s", "2m", 120.0),
        ("window_s", "1h 30min", 5400.0),
        ("max_age_h", "72h", 72.0),
        ("max_age_h", "3 days", 72.0),
        ("summary_days", "4w", 28.0),
        ("max_total_mb", "50MB", 50.0),
        ("max_total_mb", "1GiB", 1073.741824),
        ("kib_per_cpu", "256KiB", 256),
    ],
)
def test_amounts(key: str, text: str, value: float) -> None:
    assert parse_amount(key, text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "10", "s", "10x", "-1s", "1M", "5MB", "1e3s", "10s10", "nan s"])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_amount("window_s", text)


@pytest.mark.parametrize("text", ["", "50", "MB", "50MB/s", "50 parsecs", "-1MB", "10s"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_amount("max_total_mb", text)


@given(st.text(max_size=40), st.sampled_from(["window_s", "max_age_h", "max_total_mb", "kib_per_cpu"]))
def test_any_text_is_an_amount_or_refused(text: str, key: str) -> None:
    with suppress(ValueError):
        assert parse_amount(key, text) >= 0


@pytest.mark.parametrize(
    ("metric", "text", "seconds"), [("hang", "1min", 60.0), ("short_spike", "2500ms", 2.5)]
)
def test_a_threshold_of_seconds_may_have_a_unit(metric: str, text: str, seconds: float) -> None:
    assert parse_threshold(text, TriggerMetric(metric)) == Threshold(seconds, "seconds")
    with pytest.raises(ValueError, match="expected"):
        parse_threshold("1M", TriggerMetric(metric))


@given(st.integers(0, 10_000), st.sampled_from(["ms", "s", "min", "h", "d", "w"]))
def test_spans_add_up(number: int, unit: str) -> None:
    one = seconds_of(f"{number}{unit}")
    assert one is not None
    assert seconds_of(f"{number} {unit} {number}{unit}") == pytest.approx(2 * one)
