"""What waits or imports is never called the hottest beside something that worked."""

from __future__ import annotations

import pytest

from monitord.profiles import hotspots, parse

BUSY = "main (/srv/app.py:3);work (/srv/app.py:9)"
BACKGROUND = [
    "Condition.wait (/usr/lib/python3.11/threading.py:320)",
    "Event.wait (/usr/lib/python3.11/threading.py:622)",
    "_worker (/usr/lib/python3.11/concurrent/futures/thread.py:81)",
    "EpollSelector.select (/usr/lib/python3.11/selectors.py:468)",
    "Popen._wait (/usr/lib/python3.11/subprocess.py:1900)",
    "_find_spec (<frozen importlib._bootstrap>:1000)",
]


def named(text: str) -> list[str]:
    return [spot.function for spot in hotspots(parse("folded", text.encode()))]


@pytest.mark.parametrize("frame", BACKGROUND)
def test_a_wait_or_an_import_comes_after_what_worked(frame: str) -> None:
    name = frame.partition(" ")[0]
    assert named(f"{frame} 80\n{BUSY} 20\n") == ["work", "main", name]
    assert named(f"{frame} 98\n{BUSY} 2\n")[0] == name, "beside next to nothing it is what there is"


def test_a_function_of_that_name_elsewhere_is_as_hot_as_it_is() -> None:
    assert named(f"wait (/srv/my_own.py:3) 80\n{BUSY} 20\n")[0] == "wait"
