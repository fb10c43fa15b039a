"""Whether questions to the events are slow that an index would serve; nobody makes it unasked."""

from __future__ import annotations

from collections.abc import Iterator

from monitord.doctor.check import OK, Check, Surroundings
from monitord.errors import MonitordError
from monitord.storage.events.advice import advised, slow_questions
from monitord.storage.queries import StoreReader


def check_slow_questions(here: Surroundings) -> Iterator[Check]:
    """Name the index; all is well without it, so this is never a warning."""
    try:
        with StoreReader(here.data_dir) as reader:
            found = advised(slow_questions(reader, here.now))
    except MonitordError:
        return  # there is no store, or check_database says what is wrong with it
    for index, times in found.items():
        words = (
            f"{times:,} slow ones in 30 days that an index `{index.short_name}` would serve"
            " (about 15 bytes for each event in it)"
        )
        yield Check("questions to events", OK, words, f"monitord events index create {index.short_name}")
