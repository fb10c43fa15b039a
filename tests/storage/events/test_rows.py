"""A payload as it lies in a row, however it was written."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from monitord.storage.events.rows import payload_cell

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
names = st.text(max_size=9) | st.sampled_from(["cpu_percent", 'a"b\\', "\udcff\0", "größe"])


@given(st.dictionaries(names, numbers | st.none() | st.text(max_size=9) | st.lists(numbers), min_size=1))
def test_a_payload_lies_as_json_writes_it(payload: dict[str, object]) -> None:
    """Byte for byte, numbers alone among them: what is compared in SQL, and copied, is the same text."""
    assert payload_cell(payload) == json.dumps(payload, separators=(",", ":"))


@given(st.dictionaries(st.integers() | st.booleans() | st.none(), numbers, min_size=1))
def test_a_name_that_is_no_text_becomes_what_json_makes_of_it(payload: dict[str, object]) -> None:
    assert payload_cell(payload) == json.dumps(payload, separators=(",", ":"))
