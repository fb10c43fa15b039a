"""How values lie in SQLite's cells and in an artefact's JSON, both ways and without loss.

A record is a dataclass whose fields are a table's columns. A field's type says how it is written and read
(`Kind`): rows and JSON derive from it, and what nobody can have written is refused by name.
Times are 'YYYY-MM-DD HH:MM:SS.ffffff' in UTC, which SQLite's own date functions understand and which
sort as text. Text is TEXT when it is valid Unicode and otherwise a BLOB with the raw bytes it came from.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, fields
from datetime import UTC, datetime
from enum import EnumType
from types import NoneType
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

from monitord.errors import DamagedRowError
from monitord.zstandard import zstd

Row = Mapping[str, Any]  # cells, or the JSON of an artefact, by column
_T = TypeVar("_T")
ZstdError = zstd.ZstdError
MENDED_BY = "`monitord storage verify --repair` puts right what can be"
# What reading a value raises that nobody can have written.
SENSELESS = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError),
    ZstdError,
)
_SHOWN = 40
_LARGEST = 1e18
MAX_BYTES = 2**53  # no disk is larger, and SQLite's TOTAL, which can't overflow, is exact up to here
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?", re.ASCII)


def time_cell(moment: datetime) -> str:
    """Write an aware time as text in UTC with microseconds; a naive one is a bug of the caller."""
    if moment.tzinfo is None:
        raise ValueError("a time without its zone can't be stored")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def time_of(cell: str) -> datetime:
    """Read the aware time in a cell, also what CURRENT_TIMESTAMP wrote (whole seconds).

    Any other way to write it is refused: times are compared as text.
    """
    if _TIME.fullmatch(cell) is None:
        raise ValueError(f"{cell[:_SHOWN]!r} is not a time as it is stored")
    return datetime.fromisoformat(cell).replace(tzinfo=UTC)


def text_cell(text: str | None) -> str | bytes | None:
    """Text that SQLite can hold: itself, or its raw bytes when they are not valid UTF-8."""
    if text is None:
        return None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape" if _is_escaped(text) else "replace")
    return text


def _is_escaped(text: str) -> bool:
    """Whether every lone surrogate stands for a raw byte (U+DC80 to U+DCFF)."""
    return all(not 0xD800 <= ord(c) <= 0xDFFF or 0xDC80 <= ord(c) <= 0xDCFF for c in text)


def text_of(cell: str | bytes) -> str:
    """Read the text in a cell; raw bytes come back as surrogateescape."""
    return cell.decode("utf-8", "surrogateescape") if isinstance(cell, bytes) else cell


def as_stored(value: Any) -> Any:
    """The value as it comes back from its cell: code points that are not text become "?"."""
    return text_of(text_cell(value) or "") if isinstance(value, str) else value


def lenient_text(cell: bytes) -> str:
    """A text column's bytes, whatever they are: one that is not UTF-8 must not hide all other rows."""
    return cell.decode("utf-8", "surrogateescape")


def number_cell(value: float) -> float:
    """A number SQLite keeps: it would turn not-a-number into NULL."""
    return 0.0 if math.isnan(value) else float(value)


def json_cell(value: Any) -> str:
    """Write compact JSON in ASCII: raw bytes in names survive as \\udcXX."""
    return json.dumps(value, separators=(",", ":"))


def packed_cell(value: Any) -> bytes:
    """Write compressed JSON, for what is read whole or not at all."""
    return zstd.compress(json_cell(value).encode("ascii"), level=9)


def packed_of(cell: bytes) -> Any:
    """Read the value in a packed cell."""
    return json.loads(zstd.decompress(cell))


# ------------------------------------------------------------------------------- kinds of values

REFUSED: Final = object()


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Kind:
    """How values of one type are written, and read again with distrust.

    `plain` gives a value as JSON, and `write` makes a cell of that. `value` reads JSON, `read` a cell; both
    raise one of SENSELESS for what nobody can have written. `null` is what an empty cell stands for where the
    field may not be None; REFUSED: it is damage. `sql` is the type of its columns.
    """

    sql: str
    value: Callable[[Any], Any]
    read: Callable[[Any], Any]
    plain: Callable[[Any], Any] = _same
    write: Callable[[Any], Any] = _same
    null: Any = REFUSED


def whole(value: Any) -> int:
    """Read a whole number."""
    if not isinstance(value, int):
        raise TypeError
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or not abs(value) < _LARGEST:
        raise TypeError
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def sound_text(cell: Any) -> str:
    """Read the text in a cell; raises for bytes that are not UTF-8 and were read leniently."""
    if type(cell) is str and cell.isascii():  # nearly all
        return cell
    if isinstance(cell, bytes):
        return text_of(cell)  # the raw bytes of a name lie as a BLOB
    _text(cell).encode()
    return str(cell)


def _flag(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError
    return bool(value)


def one_of(values: Iterable[_T]) -> Callable[[Any], _T]:
    """Make the reader of what is one of these values."""
    return {value: value for value in values}.__getitem__


def json_kind(value: Callable[[Any], Any], plain: Callable[[Any], Any], null: Any = REFUSED) -> Kind:
    """Values that lie as JSON text."""
    return Kind("TEXT", value, lambda cell: value(json.loads(cell)), plain, json_cell, null)


def packed_kind(value: Callable[[Any], Any], plain: Callable[[Any], Any]) -> Kind:
    """Sequences that lie as compressed JSON; an empty one is NULL."""

    def read(cell: Any) -> Any:
        return value(packed_of(cell)) if cell else ()

    return Kind("BLOB", value, read, plain, lambda held: packed_cell(held) if held else None, null=())


def sequence_of(one: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Make the reader of a JSON list of such values."""

    def read(held: Any) -> tuple[Any, ...]:
        if not isinstance(held, list):
            raise TypeError
        return tuple(map(one, held))

    return read


def table_of_texts(held: Any) -> Mapping[str, str]:
    """Read a JSON object."""
    if not isinstance(held, dict):
        raise TypeError
    return held


_KINDS: Mapping[Any, Kind] = {
    str: Kind("TEXT", _text, sound_text, write=text_cell),
    int: Kind("INTEGER", whole, whole),
    float: Kind("REAL", _number, _number, plain=number_cell),
    bool: Kind("INTEGER", _flag, _flag, plain=int),
    datetime: Kind("DATETIME", time_of, time_of, plain=time_cell),
    tuple[str, ...]: json_kind(sequence_of(_text), list, null=()),
    Mapping[str, str]: json_kind(table_of_texts, dict),
}


# -------------------------------------------------------------------------------------- records


@dataclass(frozen=True, slots=True)
class RecordColumn:
    """One field of a record, as a column. `null` is what an empty cell stands for; REFUSED: it is damage."""

    name: str
    kind: Kind
    null: Any
    default: Any


_COLUMNS: dict[Any, Mapping[str, RecordColumn]] = {}


def columns_of(record: type[Any]) -> Mapping[str, RecordColumn]:
    """The columns of a record by name, in the order of its fields."""
    if record not in _COLUMNS:
        hints = get_type_hints(record, include_extras=True)
        _COLUMNS[record] = {each.name: _column(each, hints[each.name]) for each in fields(record)}
    return _COLUMNS[record]


def _column(field: Field[Any], hint: Any) -> RecordColumn:
    options = get_args(hint)
    if NoneType in options:
        return RecordColumn(field.name, _kind(options[0]), None, field.default)
    kind = _kind(hint)
    return RecordColumn(field.name, kind, kind.null, field.default)


def _kind(hint: Any) -> Kind:
    if get_origin(hint) is Annotated:
        kind = get_args(hint)[1]
        assert isinstance(kind, Kind)  # noqa: S101 - what records are annotated with
        return kind
    if get_origin(hint) is Literal or isinstance(hint, EnumType):
        word = one_of(get_args(hint) or hint)
        return Kind("TEXT", word, word, plain=str)
    return _KINDS[hint]


def plain(record: Any, names: Iterable[str] | None = None) -> dict[str, Any]:
    """Give a record as JSON-able values by column."""
    columns = columns_of(type(record))
    found = ((name, getattr(record, name)) for name in names or columns)
    return {name: None if value is None else columns[name].kind.plain(value) for name, value in found}


def cells(record: Any, names: Iterable[str] | None = None) -> dict[str, Any]:
    """Give a record as the cells of its row."""
    columns = columns_of(type(record))
    held = plain(record, names)
    return {name: None if value is None else columns[name].kind.write(value) for name, value in held.items()}


def read_plain(record: type[_T], held: Row) -> _T:
    """Read a record from JSON; raises DamagedRowError, or TypeError for what is incomplete or not an object.

    What it lacks gets the field's default: earlier versions knew fewer columns. What we have no column for is
    left out: a newer one knows more.
    """
    return record(**_values(record, held, _readers(record, "value")))


def read_row(record: type[_T], row: Row) -> _T:
    """Read a record from the cells of its row; raises DamagedRowError that names the column."""
    return record(**read_cells(record, row))


def read_cells(record: type[Any], row: Row) -> Row:
    """Read the values of those cells that are a record's columns, as `read_row` does."""
    return _values(record, row, _readers(record, "read"))


_READERS: dict[tuple[Any, str], Mapping[str, tuple[Any, Callable[[Any], Any]]]] = {}


def _readers(record: type[Any], way: str) -> Mapping[str, tuple[Any, Callable[[Any], Any]]]:
    """By column: what an empty cell stands for, what reads another. `way` is a Kind's `value` or `read`."""
    if (record, way) not in _READERS:
        columns = columns_of(record)
        _READERS[record, way] = {name: (each.null, getattr(each.kind, way)) for name, each in columns.items()}
    return _READERS[record, way]


def _values(record: type[Any], row: Row, readers: Mapping[str, tuple[Any, Callable[[Any], Any]]]) -> Row:
    values: dict[str, Any] = {}
    for name, cell in row.items():
        if (column := readers.get(name)) is None:
            continue
        null, read = column
        try:
            value = null if cell is None else read(cell)
        except SENSELESS as error:
            raise damaged_row(record.TABLE, row, name) from error
        if value is REFUSED:
            raise damaged_row(record.TABLE, row, name)
        values[name] = value
    return values


def damaged_row(table: str, row: Row, column: str) -> DamagedRowError:
    """Make the error that says which row is damaged, and names the cure."""
    return DamagedRowError(f"{described(table, row, column)}; {MENDED_BY}")


def described(table: str, row: Row, column: str) -> str:
    """Which row it is and what is wrong with it, in words."""
    name = next((row[key] for key in ("correlation_id", "key", "id") if row.get(key) is not None), "?")
    value = repr(row[column])
    value = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
    return f"{table} {str(name)[:_SHOWN]!r}: {column} holds the invalid value {value}"


_SHARED: dict[Any, tuple[str, ...]] = {}


def _shared(target: type[Any], source: type[Any]) -> tuple[str, ...]:
    """The names of the fields that both have."""
    if (target, source) not in _SHARED:
        names = {field.name for field in fields(source)}
        _SHARED[target, source] = tuple(field.name for field in fields(target) if field.name in names)
    return _SHARED[target, source]


def derived(target: type[_T], *sources: Any, **changes: Any) -> _T:
    """Make a value of what the sources hold under the same names, later ones first, and of the changes."""
    values: dict[str, Any] = {}
    for source in sources:
        values |= {name: getattr(source, name) for name in _shared(target, type(source))}
    return target(**{**values, **changes})
