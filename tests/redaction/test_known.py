"""Known words are found as one pattern of them all would find them, at a cost that does not grow with their number."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.redaction import Redactor
from monitord.redaction.known import KnownWords
from tests.redaction.test_steps import SLACK, steps

WORDS = st.lists(st.text("ab-.1é", min_size=1, max_size=6), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None)
@given(WORDS, st.text("ab-.1é ", max_size=40), st.booleans())
def test_they_are_found_as_by_one_pattern_of_them_all(words: list[str], text: str, whole_words: bool) -> None:
    known = KnownWords(whole_words=whole_words)
    for word in words:
        known.add(word)
    any_of = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    pattern = f"(?<![A-Za-z0-9])(?:{any_of})(?![A-Za-z0-9])" if whole_words else any_of
    assert known.replace(text, lambda word: f"<{word}>") == re.sub(pattern, lambda m: f"<{m[0]}>", text)


def test_ten_thousand_hosts_cost_a_text_no_more_than_ten() -> None:
    text = "GET https://node-7.prod.acme.example/x from node-3.prod.acme.example took 3 ms\n" * 20
    counts = []
    for number in (10, 10_000):
        redactor = Redactor(hosts=[f"node-{n}.prod.acme.example" for n in range(number)], key=b"k" * 32)
        redactor.text("first")
        counts.append(steps(lambda redactor=redactor: redactor.text(text)))  # type: ignore[misc]
        assert "node-7" not in redactor.text(text)
    assert counts[1] <= 1.5 * counts[0] + SLACK, counts


def test_learning_while_redacting_costs_each_text_the_same() -> None:
    """Each text names a host that none before it named."""

    def told(number: int) -> int:
        redactor = Redactor(key=b"k" * 32)
        return steps(lambda: [redactor.text(f"curl https://h{n}.acme.internal/") for n in range(number)])

    few, many = told(100), told(400)
    assert many <= 4.5 * few + SLACK, (few, many)
