"""The flame graph in a real browser: searched, zoomed, walked by keys; and hostile names that stay text."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from monitord.profiles import Frame, Profile, Thread, parse
from monitord.profiles.flame_tree import MAX_NODES, grow
from monitord.profiles.flamegraph_writer import write_differential
from monitord.profiles.writing import About, write
from tests.profiles.chromium import Chromium
from tests.profiles.ring_documents import RingDocument, python

SAMPLES = Path(__file__).parent / "samples"
PICTURES = os.environ.get("MONITORD_PICTURES")
FOLDED = b"""\
main (/srv/app/main.py:1);work (/srv/app/work.py:5);parse (/srv/app/parse.py:2) 60
main (/srv/app/main.py:1);work (/srv/app/work.py:6);send (/srv/app/net.py:2) 25
main (/srv/app/main.py:1);idle (/srv/app/main.py:9) 15
"""
EVIL = [
    "</script><script>window.owned = 1</script>",
    "<img src=x onerror='window.owned = 1'>",
    '"><svg onload=window.owned=1>',
    "</style></title><b>",
    "&lt;script&gt;",
    "\u202egnp.exe\u2028\x1b[31m\x00",
    "\udcff\udcfe",
    "{{constructor.constructor('window.owned = 1')()}}",
    "javascript:window.owned=1",
]


def _open(browser: Chromium, tmp_path: Path, page: bytes) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(page)
    browser.open(path)


def _picture(browser: Chromium, name: str) -> None:
    if PICTURES:
        browser.screenshot(Path(PICTURES) / f"{name}.png")


def _frame(name: str) -> str:
    return f"[...document.querySelectorAll('.frame')].find(f => f.textContent.startsWith({json.dumps(name)}))"


SHOWN = "[...document.querySelectorAll('.frame')].map(f => f.textContent)"
SAID = "document.getElementById('said').textContent"


def test_it_is_searched_and_zoomed(browser: Chromium, tmp_path: Path) -> None:
    """Every frame is there with its share; a search says how much it found; a click zooms, Escape goes back."""
    _open(browser, tmp_path, write("flamegraph", parse("folded", FOLDED), About("python3 main.py")))
    assert browser.ask("document.title") == "python3 main.py"
    assert browser.ask(SHOWN) == ["all", "main", "work", "parse", "send", "idle"]
    label = browser.ask(f"{_frame('parse')}.getAttribute('aria-label')")
    assert label == "parse, /srv/app/parse.py: 60.0 %, 60 samples, itself 60.0 %"

    browser.press("/")
    browser.type("SEND")
    assert browser.ask("document.activeElement.id") == "search"
    assert browser.ask("[...document.querySelectorAll('.hit')].map(f => f.textContent)") == ["send"]
    assert browser.ask(SAID).startswith("25.0 % in 1 function")
    _picture(browser, "searched")
    browser.press("Escape")
    assert browser.ask("document.querySelectorAll('.hit').length") == 0

    browser.click(_frame("work"))
    assert browser.ask(SHOWN) == ["all", "main", "work", "parse", "send"]
    assert browser.ask(f"{_frame('parse')}.style.width") == f"{100 * 60 / 85:.4f}%"
    assert browser.ask(f"{_frame('main')}.classList.contains('above')")
    assert browser.ask("document.getElementById('reset').disabled") is False
    _picture(browser, "zoomed")
    browser.press("Escape")
    assert browser.ask(SHOWN)[-1] == "idle"
    browser.click(_frame("parse"))
    browser.click("document.getElementById('reset')")
    assert browser.ask(SHOWN)[-1] == "idle"
    assert browser.troubles() == []
    assert [url for url in browser.requests() if not url.startswith(("file:", "about:"))] == []


def test_of_a_machine_each_branch_begins_with_the_name_of_its_process() -> None:
    """The box names processes, and no threads; two of one name are told apart."""
    ring = RingDocument()
    for pid, name in ((26774, "shop"), (26775, "shop"), (31, "mail")):
        ring.ran(ring.process(pid, name), [python("work")], 0, 1)
    ring.ran(ring.thread(0, 26790), [python("work")], 0, 1)
    profile = parse("ring", json.dumps(ring.as_dict()).encode())
    branches = [function for function, _file, kind in grow(profile).functions if kind == "group"]
    assert sorted(branches) == [
        "all",
        "mail (pid 31)",
        "shop (pid 26774)",
        "shop (pid 26774), Thread 26790",
        "shop (pid 26775)",
    ]
    speedscope = json.loads(write("speedscope", profile))
    assert {one["name"] for one in speedscope["profiles"]} == {*branches} - {"all"}


def test_it_is_walked_by_keys_alone(browser: Chromium, tmp_path: Path) -> None:
    _open(browser, tmp_path, write("flamegraph", parse("folded", FOLDED)))
    browser.ask("document.querySelector('.frame[tabindex=\"0\"]').focus()")
    walked = []
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowLeft", "ArrowDown", "ArrowRight", "ArrowUp"):
        browser.press(key)
        walked.append(browser.ask("document.activeElement.textContent"))
    assert walked == ["main", "work", "idle", "work", "parse", "send", "work"]
    assert browser.ask(SAID).startswith("work, /srv/app/work.py: 85.0 %")
    browser.press("Enter")
    assert browser.ask(SHOWN) == ["all", "main", "work", "parse", "send"]
    assert browser.ask("document.activeElement.textContent") == "work"
    assert browser.ask("document.querySelectorAll('.frame[tabindex=\"0\"]').length") == 1


def test_hostile_names_stay_text(browser: Chromium, tmp_path: Path) -> None:
    """As function, file, module, thread and title; nothing runs, nothing is asked for, the page holds together."""
    frames = [Frame(name, name, 1) for name in EVIL] + [
        Frame(name, module=name, kind="native") for name in EVIL
    ]
    stacks: dict[tuple[Thread, tuple[int, ...]], int | float] = {
        (Thread(name, number), (number, number + len(EVIL))): 1 for number, name in enumerate(EVIL)
    }
    profile = Profile("test", frames, stacks, len(EVIL), unit=EVIL[0], notes=(EVIL[1],))
    page = write("flamegraph", profile, About(EVIL[2]))
    _open(browser, tmp_path, page)
    assert browser.ask("typeof window.owned") == "undefined"
    assert (
        browser.ask("document.querySelectorAll('img, svg, b:not(#said b), script:not([type])').length") == 1
    )
    assert browser.ask(SHOWN).count(EVIL[0]) == 2
    assert EVIL[4] in browser.ask(SHOWN)
    assert browser.ask("[...document.querySelectorAll('td')].some(t => t.textContent === '&lt;script&gt;')")
    assert browser.troubles() == []
    assert [url for url in browser.requests() if not url.startswith(("file:", "about:"))] == []
    text = page.decode("utf-8")
    assert not re.search("[\u202e\u2028\x1b\x00]", text)


def test_its_policy_forbids_whatever_is_not_its_own(browser: Chromium, tmp_path: Path) -> None:
    """Even markup that got into the page would not run."""
    page = write("flamegraph", parse("folded", FOLDED)).replace(
        b"</main>", b"<script>window.owned = 1</script><img src='https://example.invalid/x'></main>"
    )
    _open(browser, tmp_path, page)
    assert browser.ask("typeof window.owned") == "undefined"
    refused = [trouble for trouble in browser.troubles() if "Content Security Policy" in trouble]
    assert len(refused) == 2
    assert browser.ask(SHOWN)[0] == "all"


def test_two_profiles_in_one_graph_say_what_moved(browser: Chromium, tmp_path: Path) -> None:
    before = parse("folded", FOLDED)
    after = parse("folded", FOLDED.replace(b" 60", b" 160").replace(b" 25", b" 26"))
    _open(browser, tmp_path, write_differential(before, after, About("compared")))
    shown = browser.ask(SHOWN)
    assert "parse ▲" in shown
    assert "send ▼" in shown
    assert browser.ask(f"{_frame('parse')}.getAttribute('aria-label')").endswith("▲ +19.6 points")
    _picture(browser, "compared")
    assert browser.troubles() == []


def test_light_and_dark(browser: Chromium, tmp_path: Path) -> None:
    """Names can be read on their frames in both: WCAG's contrast of 4.5 for text."""
    page = write("flamegraph", parse("folded", FOLDED))
    for dark in (False, True):
        browser.is_dark(dark)
        _open(browser, tmp_path, page)
        colours = browser.ask(
            "[document.body, ...document.querySelectorAll('.frame')].map(f => {"
            "const s = getComputedStyle(f); return [s.color, s.backgroundColor]})"
        )
        assert min(_contrast(*pair) for pair in colours) >= 4.5
        assert (_luminance(colours[0][1]) < 0.2) is dark
        _picture(browser, f"dark-{dark}")


def _luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"[0-9]+", colour)[:3]]
    red, green, blue = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_without_scripts_the_table_is_there(browser: Chromium, tmp_path: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    _open(browser, tmp_path, write("flamegraph", parse("folded", FOLDED)))
    cells = "[...document.querySelectorAll('td')].map(t => t.textContent)"
    assert browser.ask(cells)[:4] == ["60.0%", "60.0%", "parse", "/srv/app/parse.py:2"]


def test_a_tree_of_many_branches_keeps_the_heaviest_and_says_so() -> None:
    lines = b"".join(b"main (a.py:1);f%d (a.py:1) %d\n" % (n, 1 + (n == 7) * 100_000) for n in range(30_000))
    profile = parse("folded", lines)
    tree = grow(profile)
    assert len(tree.nodes) <= MAX_NODES
    assert tree.left_out == 29_999
    assert ("f7", "a.py", "python") in tree.functions
    assert b"too narrow to be seen: 29,999 branches" in write("flamegraph", profile)


def test_a_very_deep_stack_is_drawn() -> None:
    profile = parse("folded", b";".join(b"f%d" % n for n in range(5000)) + b" 7\n")
    assert len(grow(profile).nodes) == 1002
    write("flamegraph", profile)


def test_an_empty_profile_is_a_page_too(browser: Chromium, tmp_path: Path) -> None:
    empty = Profile("test", [], {}, 0)
    _open(browser, tmp_path, write("flamegraph", empty))
    assert browser.ask(SHOWN) == ["all"]
    _open(browser, tmp_path, write_differential(empty, parse("folded", FOLDED), About()))
    assert browser.troubles() == []


def test_a_page_counts_the_samples_that_were_taken(tmp_path: Path) -> None:
    """As `show` and `export` do, though weighed samples stand for less than their time each."""
    stacks = {(Thread("MainThread", 1, 1), (0,)): 341.0}
    weighed = Profile("py-spy", [Frame("work", "/srv/x.py", 3)], stacks, 999, period_s=0.01)
    assert "999 samples of 3.4 s of CPU time, py-spy" in write("flamegraph", weighed, About("x")).decode()
    plain = Profile("py-spy", [Frame("work", "/srv/x.py", 3)], {(Thread(), (0,)): 999}, 999, period_s=0.01)
    assert "<p>999 samples, py-spy</p>" in write("flamegraph", plain, About("x")).decode()
