"""The memory of recent profiles: bounded in number, bytes and time, and shared by threads."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from monitord.errors import NotFoundError, UsageError
from monitord.scripts.cache import ProfileCache
from monitord.scripts.library import ProfileLibrary
from monitord.scripts.result import ProfileResult

AT = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)


def result(name: str, size: int = 10, minutes: int = 0) -> ProfileResult:
    payload = b'{"stacks": [["app.py inner:%d;"], 10]}'
    return ProfileResult(
        name, "app.py", AT + timedelta(minutes=minutes), 1.0, "2.4.0", 10, payload.ljust(size)[:size]
    )


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_used_least_recently_goes_first() -> None:
    """Getting a profile is a use; looking through the list is none."""
    cache = ProfileCache[ProfileResult](max_size=2)
    cache.put(result("a"))
    cache.put(result("b", minutes=1))
    assert cache.get("a") is not None
    assert [one.profile_id for one in cache.results()] == ["b", "a"]
    cache.put(result("c", minutes=2))
    assert [one.profile_id for one in cache.results()] == ["c", "a"]


def test_nothing_is_given_after_its_time() -> None:
    """At the very second it ends it is gone, from the list and the count as well."""
    clock = Clock()
    cache = ProfileCache[ProfileResult](ttl_seconds=60, clock=clock)
    cache.put(result("a"))
    clock.now = 59.9
    assert cache.get("a") is not None
    clock.now = 60.0
    assert cache.get("a") is None
    assert cache.results() == []
    assert len(cache) == 0


def test_bytes_are_bounded_too() -> None:
    """Old ones make room; one that is bigger than the whole cache is not remembered and harms nobody."""
    cache = ProfileCache[ProfileResult](max_bytes=100)
    for name in "abc":
        cache.put(result(name, 40))
    assert [one.profile_id for one in cache.results()] != []
    assert len(cache) == 2
    cache.put(result("huge", 101))
    assert len(cache) == 2
    assert cache.get("huge") is None


def test_the_same_id_again_replaces_and_clearing_counts() -> None:
    """A profile that was saved meanwhile takes the place of itself."""
    cache = ProfileCache[ProfileResult](max_size=2)
    cache.put(result("a"))
    cache.put(result("b"))
    cache.put(result("a", 20))
    assert len(cache) == 2
    found = cache.get("a")
    assert found is not None
    assert len(found.payload) == 20
    assert cache.clear() == 2
    assert cache.clear() == 0


def test_threads_may_use_it_at_once() -> None:
    """No error and never more than its size, whatever the order."""
    cache = ProfileCache[ProfileResult](max_size=8)
    errors: list[Exception] = []

    def work(name: str) -> None:
        try:
            for number in range(300):
                cache.put(result(f"{name}{number % 20}"))
                cache.get(f"{name}{(number + 3) % 20}")
                assert len(cache.results()) <= 8
        except (AssertionError, KeyError, ValueError, RuntimeError) as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(cache) <= 8


def test_the_library_looks_in_memory_first_and_needs_no_store_for_it(tmp_path) -> None:
    """Profiles in memory are there where no store is; an unknown id is an error in words."""
    library = ProfileLibrary(tmp_path / "nowhere")
    for name, count in (("a", 90), ("b", 10)):
        stacks = (
            b'{"stacks": [[["app.py inner:4;"], {"count": %d}],'
            b' [["app.py other:9;"], {"count": %d}]], "files": {}}'
        ) % (count, 100 - count)
        library.cache.put(ProfileResult(name, "app.py", AT, 1.0, "2.4.0", 100, stacks))
    assert [library.get(name).profile_id for name in "ab"] == ["a", "b"]
    for name in ("../../etc/passwd", "c", "a/../b", ""):
        with pytest.raises(NotFoundError):
            library.get(name)
    assert library.kept() == []
    assert library.older_than(7) == []
    with pytest.raises(UsageError):
        library.older_than(float("nan"))
    assert not (tmp_path / "nowhere").exists()
