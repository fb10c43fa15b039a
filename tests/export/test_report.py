"""A report in a real browser, and as Markdown: complete, quiet, narrow where the screen is, and hostile names stay text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from monitord.actions.workspace import Workspace
from monitord.export.markdown import cell, code, inline
from monitord.export.report import Material, document_of
from monitord.export.report_html import write_html
from monitord.export.report_markdown import write_markdown
from monitord.profiles import parse
from monitord.profiles.writing import write
from monitord.storage import open_store
from tests.cli.conftest import make_incident
from tests.planting import HOSTILE, is_safe
from tests.profiles.chromium import Chromium

PICTURES = os.environ.get("MONITORD_PICTURES")
FOLDED = b"main (/srv/app/main.py:3);fibonacci (/srv/app/numbers.py:12) 610\nmain (/srv/app/main.py:3);cache (/srv/app/c.py:4) 220\n"
EVIL = "</script><script>window.owned = 1</script><img src=x onerror='window.owned = 1'>\"'`|<b>\u202e\x1b[31m\u2028@all http://evil.example "
NAMES = [
    *HOSTILE.values(),
    EVIL + "W" * 400,
    "@everyone",
    "[a](http://x)",
    "![x](y)",
    "# x",
    "1. x",
    "> x",
    "`x",
    "a@`b`",
    "`a`@b",
    "`a` `b",
    "@`",
    "a|b",
    "*a* _b_ ~c~",
]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A report's document with something to say in every section."""
    store = open_store(tmp_path_factory.mktemp("report") / "data")
    made = make_incident(at=datetime(2026, 11, 20, 3, 0, tzinfo=UTC))
    store.save_incident(made)
    with Workspace(store.data_dir).reader() as reader:
        view = reader.incident(made.correlation_id)
    store.close()
    steps = [
        {"at_s": at - 10.0, "cpu_percent": 90.0, "function": f"f{at // 2}", "file": None, "share": 0.9} for at in range(10)
    ]  # fmt: skip
    ran = [
        {
            "pid": 7,
            "name": "x",
            "cpu_percent": 9.0,
            "function": "f",
            "file": None,
            "share": 0.5,
            "ended": True,
        }
    ]
    checks = [
        {"name": "one", "outcome": outcome, "detail": "how it is", "fix": "sudo do it"} for outcome in ("ok", "warning", "failure")
    ]  # fmt: skip
    material = Material(
        view,
        datetime(2026, 11, 20, 4, 0, tzinfo=UTC),
        (),
        steps,
        ran,
        checks,
        {"monitord": "1"},
        ["It broke."],
    )
    made_of = document_of(material)
    made_of["incident"]["cause"] = {
        "kind": "lock", "sentence": "it waits", "confidence": "likely", "runner_up": "disk", "decides": "time",
        "evidence": [{"label": "seen", "text": "here"}],
    }  # fmt: skip
    made_of["incident"] |= {"waiting": "4 threads wait", "context": {"threads": "4"}, "late": True}
    made_of["incident"]["annotations"] = [{"taken_at": "2026-11-20T03:30:00.000Z", "text": "a deploy"}]
    made_of["sentences"] = [
        {"about": about, "text": "It was so. To change that: sudo it", "evidence": []} for about in ("before", "normal", "unknown")
    ]  # fmt: skip
    return made_of | {
        "cause": "lock: it waits (likely)",
        "hidden": {"user": 2},
        "redacted": True,
    }


@pytest.fixture(scope="module")
def graph() -> dict[str, Any]:
    import json

    return dict(json.loads(write("graph-data", parse("folded", FOLDED))))


def planted(value: Any, text: str, name: str = "") -> Any:
    """The same document with every text in it the hostile one; times are ours."""
    if isinstance(value, str):
        return value if name.endswith("_at") else text
    if isinstance(value, dict):
        return {key: planted(held, text, key) for key, held in value.items()}
    return [planted(held, text, name) for held in value] if isinstance(value, list) else value


def shown(browser: Chromium, page: bytes, folder: Path, columns: int) -> None:
    path = folder / "page.html"
    path.write_bytes(page)
    browser.events.clear()
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        width=columns,
        height=900,
        deviceScaleFactor=1,
        mobile=columns < 500,
    )
    browser.open(path)
    if PICTURES:
        browser.screenshot(Path(PICTURES) / f"report-{columns}.png")


SECTIONS = "[...document.querySelectorAll('section > h2')].map(e => e.firstChild.textContent.trim())"
EXPECTED = [
    "Cause", "The 58 s before it", "What ran before the alert", "Who ran", "Where the time went", "Flame graph", "The process", "Around it",
    "What was done", "What is not known", "Notes", "What doctor found", "Versions",
]  # fmt: skip
COUNTED = "[...document.querySelectorAll('*')].map(e => e.tagName).sort().join()"


@pytest.mark.parametrize("columns", [360, 768, 1400])
def test_it_is_read_without_scrolling_sideways(
    browser: Chromium, tmp_path: Path, document: dict[str, Any], graph: dict[str, Any], columns: int
) -> None:
    """Every section stands there; nothing is loaded, nothing complained of."""
    shown(browser, write_html(document, graph), tmp_path, columns)
    assert browser.ask(SECTIONS) == EXPECTED
    assert browser.ask("document.documentElement.scrollWidth <= innerWidth")
    assert browser.ask("document.querySelectorAll('.frame').length") == 4
    assert len(browser.requests()) == 1
    assert browser.troubles() == []


def test_every_link_of_it_leads_to_its_section_and_every_picture_has_words(
    browser: Chromium, tmp_path: Path, document: dict[str, Any], graph: dict[str, Any]
) -> None:
    shown(browser, write_html(document, graph), tmp_path, 1400)
    assert browser.ask(
        "[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.getAttribute('href')))"
    )
    unnamed = "[...document.querySelectorAll('svg')].filter(e => e.getAttribute('aria-hidden') !== 'true' && !e.getAttribute('aria-label')).length"
    assert browser.ask(unnamed) == 0
    assert browser.ask(
        "new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size === document.querySelectorAll('[id]').length"
    )


def test_no_name_becomes_more_than_text(
    browser: Chromium, tmp_path: Path, document: dict[str, Any], graph: dict[str, Any]
) -> None:
    """Planted in every place of the document: no element more than with a plain name, nothing runs, nothing breaks out."""
    shown(browser, write_html(planted(document, "plain"), graph), tmp_path, 360)
    usual = browser.ask(COUNTED)
    for text in (EVIL + "W" * 400, *HOSTILE.values()):
        page = write_html(planted(document, text or "plain"), graph)
        assert is_safe(page.decode("utf-8").replace("\t", ""))
        shown(browser, page, tmp_path, 360)
        assert browser.ask(COUNTED) == usual
        assert browser.ask("window.owned") is None
        assert browser.ask("document.documentElement.scrollWidth <= innerWidth")
        assert browser.troubles() == []


def test_without_a_profile_no_script_may_run(document: dict[str, Any]) -> None:
    page = write_html(document, None).decode("utf-8")
    assert "script-src 'none'" in page
    assert "<script" not in page
    assert "Flame graph" not in page


def unfenced(text: str) -> Iterator[str]:
    """The lines outside blocks of code."""
    fence = ""
    for line in text.split("\n"):
        opening = re.match("`{3,}", line)
        if opening and not fence:
            fence = opening[0]
        elif line == fence:
            fence = ""
        elif not fence:
            yield line


def kind(line: str) -> str:
    """What a line is to a reader of Markdown."""
    found = re.match(r"#+ |- |\| |```+|\*\*|\*|  Fix: |---", line)
    return found[0][:3] if found else "text" if line else ""


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_markdown_keeps_names_as_text(document: dict[str, Any], graph: dict[str, Any], name: str) -> None:
    """Planted in every place: as many lines as with a plain name, and outside code nothing that Markdown reads."""
    usual = write_markdown(planted(document, "plain"), graph).decode("utf-8")
    text = write_markdown(planted(document, name or "plain"), graph).decode("utf-8")
    assert all(map(is_safe, text.split("\n")))
    assert list(map(kind, unfenced(text))) == list(map(kind, unfenced(usual)))
    bare = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", "\n".join(unfenced(text)))
    assert not re.search(r"[<>@\[\]!~]|://|www\.|(?<!\\)\\(?!\|)", bare)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_word_is_plain_or_code(name: str) -> None:
    for written in (inline(name), code(name), cell(name)):
        assert "\n" not in written
        assert is_safe(written)
    assert re.search(r"(?<!\\)\|", cell(name)) is None


@pytest.mark.parametrize(
    "word", [":+1:", ":-1:", ":e-mail:", "x:+1:y", "%1", "%v1.2", "(%1)", "GH-12", "gh-12", "a/GH-3"]
)
def test_what_a_site_makes_a_picture_or_a_reference_of_is_code(word: str) -> None:
    """Outside code nothing of it stands, at the beginning of a line as within one."""
    for text in (word, f"it is {word}, then"):
        bare = re.sub(r"`[^`]*`", "", inline(text))
        assert re.fullmatch(r"(it is )?\(?\)?:?(, then)?", bare), inline(text)


def test_ordinary_words_stay_ordinary() -> None:
    """A reader need not look at code where there is none."""
    for text in (
        "At 03:00:05 it used 97 % of one core (8.0 GiB), 10 s.",
        "python3 shop.py (pid 4321)",
        "naïve: 45 ± 3 %",
        "100% of it, shop.py:6",
    ):
        assert inline(text) == text
    assert inline("load_orders took it") == "`load_orders` took it"
    assert inline("try `monitord show x`.") == "try `monitord show x`."
