"""The providers' own suite again, with cache, compression and encryption in every combination around them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.storage.artefacts.cache import CacheConfig, CacheManager
from monitord.storage.artefacts.keyring import EncryptionKey, Keyring
from monitord.storage.artefacts.opening import compose
from monitord.storage.artefacts.provider import StorageProvider
from tests.contracts.test_providers import (  # noqa: F401  # pytest collects them here, too
    KEY,
    KINDS,
    Place,
    get,
    provider,
    put,
    test_a_bad_key_is_refused_with_the_same_reason_everywhere,
    test_a_deletion_says_what_it_took_and_holds,
    test_a_key_is_taken_once_unless_replacing,
    test_a_payload_that_breaks_off_leaves_nothing,
    test_a_reader_may_stop_anywhere,
    test_a_reader_sees_the_old_or_the_new_never_a_mixture,
    test_another_provider_of_the_same_place_sees_it,
    test_closing_twice_is_fine,
    test_large_metadata_comes_back,
    test_list_gives_the_keys_that_begin_so_in_order,
    test_nothing_half_written_is_listed,
    test_of_many_threads_one_takes_a_key,
    test_too_much_metadata_is_refused_and_leaves_nothing,
    test_what_goes_while_it_is_listed_is_no_trouble,
    test_what_is_no_artefact_is_damaged_listed_and_can_be_set_aside,
    test_what_is_not_there_is_missing_everywhere,
    test_what_is_stored_is_retrieved,
)

SECRET = bytes(range(32))
SWITCHES = [
    frozenset(n for n, on in zip(("cache", "zstd", "key"), row, strict=True) if on)
    for row in product((False, True), repeat=3)
    if any(row)  # without any of them it is test_providers.py
]


def wrapped(bare: StorageProvider, switches: frozenset[str]) -> StorageProvider:
    return compose(
        bare,
        compression_level=3 if "zstd" in switches else None,
        keyring=Keyring(EncryptionKey(SECRET)) if "key" in switches else None,
        cache=CacheManager(CacheConfig(limit_bytes=64 << 20)) if "cache" in switches else None,
    )


CASES = [(kind, switches) for kind in ("file", "memory", "redis", "s3") for switches in SWITCHES]
CASES += [(kind, SWITCHES[-1]) for kind in KINDS if (kind, SWITCHES[-1]) not in CASES]
"""The providers under every combination; what stands between them and the wrappers under all of them at once."""


def name_of(case: tuple[str, frozenset[str]]) -> str:
    return "+".join((case[0], *sorted(case[1])))


@pytest.fixture(params=CASES, ids=name_of)
def case(request: pytest.FixtureRequest) -> tuple[str, frozenset[str]]:
    chosen: tuple[str, frozenset[str]] = request.param
    return chosen


@pytest.fixture
def switches(case: tuple[str, frozenset[str]]) -> frozenset[str]:
    return case[1]


@pytest.fixture
def place(
    request: pytest.FixtureRequest, tmp_path: Path, case: tuple[str, frozenset[str]], switches: frozenset[str]
) -> Place:
    bare: Place = KINDS[case[0]](request, tmp_path)
    opened: Callable[[], StorageProvider] = lambda: wrapped(bare.open(), switches)  # noqa: E731  # reads as one
    return replace(bare, open=opened)


texts = st.text(st.characters(), max_size=20)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=3000).flatmap(lambda data: st.sampled_from([data, data * 20])),
    tags=st.dictionaries(texts, texts, max_size=6),
    name=st.binary(max_size=30).map(os.fsdecode),
    content_type=texts,
)
def test_metadata_come_back_as_they_were(
    provider: StorageProvider,  # noqa: F811
    switches: frozenset[str],
    data: bytes,
    tags: dict[str, str],
    name: str,
    content_type: str,
) -> None:
    """Every text there is; and what was switched on is what was done to the bytes."""
    attributes = {"name": name, "list": [1, None, 2.5, {"deep": [True]}]}
    stored = put(provider, KEY, data, tags=tags, content_type=content_type, attributes=attributes)
    assert get(provider, KEY) == (stored, data)
    assert provider.get_metadata(KEY) == stored
    assert (stored.attributes, stored.tags, stored.content_type) == (attributes, tags, content_type)
    assert (stored.encryption is not None) == ("key" in switches)
    assert stored.compression in ((None, "zstd") if "zstd" in switches else (None,))


def test_what_shrinks_is_compressed_and_what_is_encrypted_shows_nothing(
    provider: StorageProvider,  # noqa: F811
    place: Place,
    switches: frozenset[str],
) -> None:
    secret = b"the function that leaks; " * 40_000
    stored = put(provider, KEY, secret, attributes={"command": "the words of the command"})
    raw = place.raw(KEY)
    assert stored.stored_size == len(raw)
    assert (stored.compression == "zstd") == ("zstd" in switches) == (len(raw) < len(secret) / 10)
    assert (b"words of the command" in raw) == ("key" not in switches)
    assert b"the function that leaks" not in raw or "key" not in switches
    assert get(provider, KEY) == (stored, secret)
