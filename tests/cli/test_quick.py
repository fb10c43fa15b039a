"""A summary to paste, a page in the browser, a report, a bundle: what one takes away from an incident."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pty
import re
import stat
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.model import Incident
from monitord.storage import SQLiteProfileStore
from monitord.storage.ids import short_id
from monitord.zstandard import zstd
from tests import preloaded
from tests.actions.desktops import a_desktop
from tests.cli.conftest import Cli, make_incident
from tests.patience import PATIENCE_S

FOLDED = (
    b"main (/srv/app/main.py:3);fibonacci (/srv/app/numbers.py:12) 610\n"
    b"main (/srv/app/main.py:3);dict_lookup (/srv/app/cache.py:40) 220\n"
)


@pytest.fixture
def profiled(store: SQLiteProfileStore) -> Incident:
    """An incident of alice's with a profile that can be drawn."""
    made = make_incident()
    captures = tuple(
        replace(one, format="folded", payload=FOLDED) if one.format == "speedscope" else one
        for one in made.captures
    )
    made = replace(made, captures=captures)
    store.save_incident(made)
    return made


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_a_summary_says_it_in_a_few_lines(form: str, profiled: Incident, here: Cli) -> None:
    answer = here("summary", "1", "-o", form)
    assert answer.code == 0, answer.err
    first, *others = answer.out.splitlines()
    assert "fibonacci (numbers.py:12) took 61 % of python3 main.py" in first
    said = "\n".join(others)
    for words in ("pid 4321", "cpu-hog", "fibonacci (/srv/app/numbers.py:12)", "perf was not taken",
                  f"monitord show {short_id(profiled.correlation_id)}"):  # fmt: skip
        assert words in said
    assert len(others) < 12


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_a_summary_stays_a_few_lines_however_many_notes_there_are(
    form: str, profiled: Incident, here: Cli
) -> None:
    """The newest are told, the others counted."""
    for number in range(12):
        assert here("note", "1", f"seen {number:02}").code == 0
    lines = here("summary", "1", "-o", form).out.splitlines()
    assert len(lines) <= 16
    assert [number for number in range(12) if any(f"seen {number:02}" in line for line in lines)] == [
        9,
        10,
        11,
    ]
    assert any("9 earlier" in line for line in lines)


def test_an_unknown_incident_is_one_line(here: Cli, profiled: Incident) -> None:
    for words in (("summary", "zzzz"), ("open", "zzzz"), ("export", "zzzz", "--format", "report", "-o", "-"),
                  ("export", "zzzz", "--bundle", "-o", "-"), ("capture", "--again", "zzzz")):  # fmt: skip
        answer = here(*words)
        assert (answer.code, answer.out, answer.err.count("\n")) == (3, "", 1), words


def test_a_report_tells_everything_on_one_page(profiled: Incident, here: Cli, tmp_path: Path) -> None:
    page = tmp_path / "it.html"
    assert here("export", "1", "--format", "report", "-o", str(page)).code == 0
    text = page.read_text(encoding="utf-8")
    for words in ("fibonacci (numbers.py:12) took 61 %", "The 58 s before it", "Where the time went", "Flame graph", "What was done",
                  "What is not known", "sudo sysctl kernel.perf_event_paranoid=1", "What doctor found", "Versions", "default-src &#x27;none&#x27;"):  # fmt: skip
        assert words.replace("&#x27;", "'") in text, words
    assert "alice" not in text
    assert "http://" not in text
    assert "https://" not in text
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


def test_a_report_ends_as_its_file_ends(profiled: Incident, here: Cli, tmp_path: Path) -> None:
    """Markdown for .md, a page for .html; the same on stdout by name."""
    for name, words in (("a.md", ()), ("b.md", ("--format", "report")), ("c.md", ("--format", "markdown"))):
        assert here("export", "1", *words, "-o", str(tmp_path / name)).code == 0
        assert (tmp_path / name).read_text().startswith("# fibonacci")
    assert here("export", "1", "-o", str(tmp_path / "x.report.html")).code == 0
    assert (tmp_path / "x.report.html").read_text().startswith("<!DOCTYPE html>")
    assert here("export", "1", "-o", "markdown").out.startswith("# ")
    assert here("export", "1", "--format", "report", "-o", str(tmp_path / "x.csv")).code == 2


def test_an_incident_without_a_profile_has_a_report(store: SQLiteProfileStore, here: Cli) -> None:
    made = make_incident(hotspots=())
    store.save_incident(replace(made, captures=made.captures[2:]))
    answer = here("export", "1", "--format", "report", "-o", "-")
    assert answer.code == 0, answer.err
    assert "no function is known" in answer.out
    assert "Flame graph" not in answer.out
    assert "script-src 'none'" in answer.out


def test_evidence_that_can_not_be_read_is_told(store: SQLiteProfileStore, here: Cli) -> None:
    store.save_incident(make_incident())  # its profile is no speedscope
    answer = here("export", "1", "-o", "markdown")
    assert answer.code == 0, answer.err
    assert "Its profile can't be drawn" in answer.out


def test_a_bundle_holds_everything_with_checksums(profiled: Incident, here: Cli, tmp_path: Path) -> None:
    """It unpacks with plain tar into one folder of harmless names, and `sha256sum -c` is content."""
    file = tmp_path / "it.tar.zst"
    answer = here("export", "1", "--bundle", "-o", str(file))
    assert answer.code == 0, answer.err
    subprocess.run(["tar", "--zstd", "-xf", file, "-C", tmp_path], check=True, timeout=PATIENCE_S)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir() and path.name.startswith("monitord-"))
    held = {path.name for path in folder.iterdir()}
    assert held == {
        "MANIFEST.json", "SHA256SUMS", "report.html", "report.md", "summary.md", "incident.json", "incident.csv", "profile.html",
        "profile.speedscope.json", "profile.pb.gz", "profile.folded", "profile.json", "configuration.json", "doctor.json",
    }  # fmt: skip
    subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True, timeout=PATIENCE_S
    )
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    assert {one["name"] for one in manifest["files"]} == held - {"MANIFEST.json", "SHA256SUMS"}
    for one in manifest["files"]:
        content = (folder / one["name"]).read_bytes()
        assert (one["size_bytes"], one["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert manifest["redacted"] is True
    names = {entry.name for entry in tarfile_of(file).getmembers()}
    assert all(name.isascii() and not name.startswith("/") and ".." not in name for name in names)


def test_the_same_user_has_one_stand_in_in_all_of_a_bundle(
    store: SQLiteProfileStore, here: Cli, tmp_path: Path
) -> None:
    made = make_incident(command_line=("python3", "/home/alice/main.py"))
    payload = b"main (/home/alice/main.py:3);work (/home/alice/work.py:12) 610\n"
    captures = tuple(
        replace(one, format="folded", payload=payload) if one.format == "speedscope" else one
        for one in made.captures
    )
    store.save_incident(replace(made, captures=captures))
    file = tmp_path / "it.tar.zst"
    assert here("export", "1", "--bundle", "-o", str(file)).code == 0
    found = {}
    with tarfile_of(file) as tar:
        for entry in tar.getmembers():
            held = tar.extractfile(entry)
            text = held.read().decode("utf-8", "replace") if held is not None else ""
            assert "alice" not in text, entry.name
            found[Path(entry.name).name] = set(re.findall(r"/home/(user-[a-z0-9]{8})/(?:main|work)", text))
    stand_ins = found["incident.json"]
    assert len(stand_ins) == 1
    for name in ("profile.folded", "profile.speedscope.json", "report.html", "report.md", "profile.json"):
        assert found[name] == stand_ins, name


def tarfile_of(file: Path) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(zstd.decompress(file.read_bytes())))


@pytest.mark.parametrize("words", [("--format", "report"), ("--bundle",)])
def test_what_is_of_one_incident_takes_one(words: tuple[str, ...], profiled: Incident, here: Cli) -> None:
    for more in (("1", "1"), (), ("1", "-S", "1h")):
        answer = here("export", *more, *words, "-o", "-")
        assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert here("export", "1", "--bundle", "--format", "csv", "-o", "-").code == 2


@pytest.mark.parametrize("has_desktop", [True, False])
def test_open_is_suggested_only_where_it_works(
    has_desktop: bool, profiled: Incident, here: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root and who has no desktop are told how to get the page as a file."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)
    if has_desktop:
        a_desktop(tmp_path, monkeypatch)
    number = short_id(profiled.correlation_id)
    opens, exports = f"monitord open {number}", f"monitord export {number} -o {number}.report.html"
    said = here("show", "1").out
    assert (opens in said, exports in said) == (
        (True, False) if has_desktop and os.geteuid() else (False, True)
    )


@pytest.mark.root
def test_root_starts_neither_browser_nor_clipboard(
    profiled: Incident, here: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they would run belongs to a user; what to type instead is said, and nothing is started."""
    mark = a_desktop(tmp_path, monkeypatch)
    for words in (("open", "1"), ("open", "1", "--page", "flamegraph"), ("summary", "1", "--copy")):
        answer = here(*words)
        assert answer.code == 4
        assert "as root" in answer.err
        assert "`" in answer.err
    assert not mark.exists()


def test_long_work_says_at_a_terminal_how_far_it_is(
    profiled: Incident, environment: dict[str, str], tmp_path: Path
) -> None:
    """And leaves its line clean; nothing of it is in what is written."""
    for words, said in (
        (("--bundle", "-o", "it.tar.zst"), b"packing"),
        (("-o", "it.json"), b"incident 0 of 1"),
    ):
        shown = on_a_terminal(["export", "1", *words], environment, tmp_path)
        assert said in shown
        assert shown.index(said) < shown.rindex(b"\r\x1b[K") < shown.index(b"wrote")
        assert (tmp_path / words[-1]).stat().st_size


def test_at_a_terminal_a_report_gets_a_name_of_its_own(
    profiled: Incident, environment: dict[str, str], tmp_path: Path
) -> None:
    """Nobody wants a page of HTML on the screen; what can be read there asks for a file."""
    name = f"monitord-incident-{short_id(profiled.correlation_id)}"
    for words, file in ((("--format", "report"), f"{name}.report.html"), (("--bundle",), f"{name}.tar.zst")):
        assert file.encode() in on_a_terminal(["export", "1", *words], environment, tmp_path)
        assert (tmp_path / file).stat().st_size
    assert b"expected a file to write" in on_a_terminal(["export", "1"], environment, tmp_path)


def on_a_terminal(words: list[str], environment: dict[str, str], folder: Path) -> bytes:
    """What a person sees who types it."""
    screen, end = pty.openpty()
    command = preloaded.command("cli", *words)
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=end, stdout=end, stderr=end) as process:
        os.close(end)
        seen = b""
        try:
            while piece := os.read(screen, 65536):
                seen += piece
        except OSError:
            pass  # how a terminal says that nobody writes to it any more
        process.wait(PATIENCE_S)
    os.close(screen)
    return seen


def test_a_report_says_what_was_hidden_in_all_of_it(profiled: Incident, here: Cli, tmp_path: Path) -> None:
    """In the document and in its profile: the page and stderr say the same."""
    page = tmp_path / "it.md"
    answer = here("export", "1", "-o", str(page))
    (told,) = [line for line in answer.err.splitlines() if line.startswith("hidden: ")]
    assert told.removeprefix("hidden: ").replace("_", " ") in page.read_text()
