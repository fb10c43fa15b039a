"""What ran before the alert stands on one line: no wider than the terminal, in order, its names harmless."""

from __future__ import annotations

import json
import string
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.cli.strip import strip
from monitord.cli.terminal import Style, display_width
from monitord.model import Incident
from tests.cli.conftest import Cli
from tests.cli.test_before import PID, with_before
from tests.profiles.ring_documents import RingDocument, python, shop

PLAIN = Style()
EVIL = "a\x1b]0;owned\x07\n\u202eb\u200bc\x9b31m"


def steps(*runs: tuple[str | None, int, float]) -> list[dict[str, object]]:
    flat = [(name, percent) for name, count, percent in runs for _ in range(count)]
    return [
        {"at_s": float(at - len(flat)), "cpu_percent": percent, "function": name, "file": None, "share": 1.0}
        for at, (name, percent) in enumerate(flat)
    ]


def test_blocks_say_how_busy_it_was_and_the_name_behind_them_by_what() -> None:
    drawn = strip(steps(("load_orders", 3, 20.0), (None, 2, 0.0), ("price_basket", 3, 100.0)), 80, PLAIN)
    assert drawn == "▂▂▂ load_orders ··███ price_basket"


def test_a_single_step_of_another_function_in_its_midst_is_chance() -> None:
    assert strip(steps(("f", 2, 99.0), ("g", 1, 99.0), ("f", 2, 99.0)), 80, PLAIN) == "█████ f"


def test_two_busy_cores_are_the_scale_where_there_were_two() -> None:
    assert strip(steps(("f", 1, 200.0), ("g", 1, 100.0)), 80, PLAIN) == "█ f ▄ g"


def test_where_names_do_not_fit_those_that_used_most_keep_theirs() -> None:
    runs = [(f"function_number_{n}", 3, 90.0 if n == 5 else 10.0) for n in range(10)]
    drawn = strip(steps(*runs), 60, PLAIN)
    assert "function_number_5" in drawn
    assert "…" in drawn
    assert display_width(drawn) <= 60


NAMES = st.none() | st.sampled_from(["f", "load_orders", "漢字の関数", EVIL]) | st.text(max_size=60)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(NAMES, st.integers(1, 40), st.floats(0, 6400)), max_size=60).map(
        lambda runs: [(name, count, percent if name else 0.0) for name, count, percent in runs]
    ),
    st.integers(38, 200),
)
def test_it_is_never_wider_than_it_may_be_and_nothing_in_it_moves_a_terminal(
    runs: list[tuple[str | None, int, float]], columns: int
) -> None:
    drawn = strip(steps(*runs)[:120], columns, PLAIN)
    assert display_width(drawn) <= columns
    assert not {char for char in drawn if unicodedata.category(char)[0] == "C"}


def _incident(name: str) -> Incident:
    document = RingDocument()
    main = document.process(PID, is_target=True)
    document.ran(main, [python("<module>"), python(name)], 90, 100, 0.8)
    return with_before(document)


@pytest.mark.parametrize("words", [("show",), ("explain",), ("show", "--json"), ("explain", "--json")])
def test_a_hostile_name_is_escaped_wherever_the_timeline_is_shown(
    words: tuple[str, ...], store, here: Cli
) -> None:
    made = _incident(EVIL)
    store.save_incident(made)
    told = here(words[0], made.correlation_id, *words[1:])
    assert told.code == 0
    assert set(told.out) - set(string.printable) <= set("▁▂▃▄▅▆▇█▏▎▍▌▋▊▉·…–›±")
    assert "\x1b" not in told.out
    assert "\x07" not in told.out


def test_json_has_the_steps_under_their_keys(store, here: Cli) -> None:
    made = with_before()
    store.save_incident(made)
    shown = json.loads(here("show", made.correlation_id, "--json").out)["timeline"]
    assert json.loads(here("explain", made.correlation_id, "--json").out)["timeline"] == shown
    assert list(shown[0]) == ["at_s", "cpu_percent", "function", "file", "share"]
    assert [step["at_s"] for step in shown] == [float(-n) for n in range(20, 0, -1)]
    assert [step["function"] for step in shown] == ["load_orders"] * 8 + ["price_basket"] * 12


def test_without_the_black_box_there_is_no_timeline(store, here: Cli) -> None:
    made = with_before()
    store.save_incident(replace(made, captures=made.captures[1:]))
    assert json.loads(here("show", made.correlation_id, "--json").out)["timeline"] is None
    assert "What ran before" not in here("show", made.correlation_id).out


def test_evidence_that_can_not_be_read_is_said_and_the_rest_is_shown(
    store, data_dir: Path, here: Cli
) -> None:
    made = with_before()
    store.save_incident(made)
    (artefact,) = (data_dir / "artefacts").glob("*-before.ring.zst")
    artefact.write_bytes(b"damaged" * 100)
    told = here("show", made.correlation_id, "--json")
    assert json.loads(told.out)["timeline"] is None
    assert "the timeline before the alert can't be shown" in told.err
    assert json.loads(told.out)["hotspots"][0]["function"] == "price_basket"


def test_where_the_terminal_has_no_utf_8_it_is_drawn_in_ascii(store, cli: Cli) -> None:
    made = with_before()
    store.save_incident(made)
    told = cli("show", made.correlation_id, PYTHONIOENCODING="ascii")
    assert "-------- load_orders @@@@@@@@@@@@ price_basket" in told.out
    assert "\\u25" not in told.out


def test_a_long_box_has_longer_steps(store, here: Cli) -> None:
    document = shop(PID)
    document.length_s = 1200.0
    made = with_before(document)
    store.save_incident(made)
    shown = json.loads(here("show", made.correlation_id, "--json").out)["timeline"]
    assert len(shown) <= 120
    assert shown[1]["at_s"] - shown[0]["at_s"] == 10.0
