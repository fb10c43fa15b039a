"""Data on its way into a backend and back: above 4 kB it is compressed where that helps.

One byte says which: 0 plain, 1 zstd.
"""

from __future__ import annotations

from monitord.storage.state.errors import InvalidOptionsError, StateUnavailableError
from monitord.zstandard import zstd

DATA_LIMIT_BYTES = 4 << 20
COMPRESS_OVER_BYTES = 4096
_PLAIN, _ZSTD = b"\0", b"\1"


def encode(data: bytes) -> bytes:
    """Encode data as it is kept; raises InvalidOptionsError when it is too large or no bytes."""
    if not isinstance(data, bytes):
        raise InvalidOptionsError(f"invalid data: {type(data).__name__}, expected bytes")
    if len(data) > DATA_LIMIT_BYTES:
        raise InvalidOptionsError(f"invalid data: {len(data)} bytes, expected at most {DATA_LIMIT_BYTES}")
    if len(data) > COMPRESS_OVER_BYTES:
        packed = zstd.compress(data, level=3)
        if len(packed) < len(data):
            return _ZSTD + packed
    return _PLAIN + data


def decode(kept: bytes) -> bytes:
    """Decode the data; what nobody can have encoded is refused, whatever size it claims."""
    kind, body = kept[:1], kept[1:]
    if kind == _PLAIN:
        return body
    if kind == _ZSTD:
        try:
            data = zstd.ZstdDecompressor().decompress(body, max_length=DATA_LIMIT_BYTES + 1)
        except zstd.ZstdError as error:
            raise StateUnavailableError(f"cannot read an item: {error}") from error
        if len(data) <= DATA_LIMIT_BYTES:
            return data
    raise StateUnavailableError("cannot read an item: it is damaged or of a newer monitord")
