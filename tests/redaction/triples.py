"""Makes the table of `monitord/redaction/made_up.py`: `python -m tests.redaction.triples FILE… `, texts to learn from.

It was made of the tldr pages in eleven languages, of names and summaries of the 30,000 most downloaded packages of
two registries, of Debian's names of packages and programs, and of some names of devices, codecs and machines. Then it was
raised by words of translated programs in 28 languages, 6,000 of each.
"""

from __future__ import annotations

import base64
import re
import sys
import unicodedata
import zlib
from collections import Counter
from pathlib import Path

from monitord.redaction.made_up import TRIPLES, triples_of

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,38}[A-Za-z0-9]|[A-Za-z0-9]")
_MOST_OF_ONE_WORD = 20  # of a word that is everywhere no more is learned than of one that is now and then
_COMMONEST, _KNOWN = 3_000, 10_000
_COMMON_ELSEWHERE, _KNOWN_ELSEWHERE = 150, 20
_LINE = 100


def table(texts: list[str]) -> bytes:
    """Two bits for each triple: 2 for the commonest, 1 for the others that are known."""
    words: Counter[str] = Counter()
    for text in texts:
        words.update(_WORD.findall(unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()))
    counts: Counter[int] = Counter()
    for word, count in words.items():
        for triple in triples_of(word):
            counts[triple] += min(count, _MOST_OF_ONE_WORD)
    packed = bytearray(TRIPLES // 4)
    for place, (triple, _count) in enumerate(counts.most_common(_KNOWN)):
        packed[triple >> 2] |= (1 + (place < _COMMONEST)) << 2 * (triple & 3)
    return bytes(packed)


def raised(levels: bytes, languages: list[list[str]]) -> bytes:
    """The table with what is common in words of other languages: their words, each once, some 6,000 a language."""
    counts = Counter(triple for words in languages for word in words for triple in triples_of(word))
    packed = bytearray(levels)
    for triple, count in counts.items():
        shift = 2 * (triple & 3)
        level = levels[triple >> 2] >> shift & 3
        new = 2 if level and count >= _COMMON_ELSEWHERE else level or int(count >= _KNOWN_ELSEWHERE)
        packed[triple >> 2] ^= (level ^ new) << shift
    return bytes(packed)


if __name__ == "__main__":
    spelt = base64.b85encode(
        zlib.compress(table([Path(name).read_text("utf-8", "replace") for name in sys.argv[1:]]), 9)
    )
    for at in range(0, len(spelt), _LINE):
        print(f'    b"{spelt[at : at + _LINE].decode()}"')
