"""The words of a call as values, without the library's checker: to load it takes longer than most answers.

What is not plain (a wrong number, an unknown word, bytes that are not text) is left to the library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

_WHOLE = re.compile(r"\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"\d{1,15}(\.\d{1,15})?", re.ASCII)


class NotPlainError(Exception):
    """The value is the library's to judge."""


def convert_plainly(parameter: Any) -> None:
    """Let a parameter of a command give its plain values without the library's checker."""
    theirs = getattr(parameter, "get_runtime_param", None)  # without it a library converts as it always did
    if theirs is not None and not isinstance(theirs, _Converter):
        parameter.get_runtime_param = _Converter(theirs)


class _Converter:
    """What the library asks for a parameter's value."""

    def __init__(self, theirs: Callable[[], Any]) -> None:
        self._theirs = theirs

    def __call__(self) -> _Converter:
        return self

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value of what was typed, or of a default."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        kind = param.type_descriptor
        try:
            return plain_value(kind.annotation, kind.parameter_info, value)
        except NotPlainError:
            return self._theirs().coerce(value, param=param, ctx=ctx)


def plain_value(annotation: Any, asked: Any, value: Any) -> Any:
    """Return what the library would make of the value; raises NotPlainError unless that is certain.

    `asked` is what the parameter says of itself: its range, what its path must be.
    """
    if asked.parser is not None:
        raise NotPlainError
    if get_origin(annotation) is list and isinstance(value, list | tuple):
        (each,) = get_args(annotation)
        return [plain_value(each, asked, one) for one in value]
    if get_origin(annotation) is Literal:
        return _choice(get_args(annotation), value, is_exact=asked.case_sensitive)
    if not isinstance(annotation, type):
        raise NotPlainError
    if issubclass(annotation, Enum):
        return _choice(annotation, value, is_exact=asked.case_sensitive)
    if annotation in (int, float):
        return _number(annotation, asked, value)
    if annotation is str:
        return _text(value)
    if annotation is Path and _is_any_path(asked):
        return value if isinstance(value, Path) else Path(_text(value))
    raise NotPlainError


def _choice(words: Iterable[Any], value: Any, *, is_exact: bool) -> Any:
    for word in words:
        if value is word or (is_exact and isinstance(value, str) and value == getattr(word, "value", word)):
            return word
    raise NotPlainError


def _number(kind: type, asked: Any, value: Any) -> float:
    if type(value) is not kind:
        pattern = _WHOLE if kind is int else _DECIMAL
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise NotPlainError
        value = kind(value)
    is_within = (asked.min is None or value >= asked.min) and (asked.max is None or value <= asked.max)
    if not is_within:
        raise NotPlainError
    number: float = value
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise NotPlainError
    try:
        value.encode()
    except UnicodeEncodeError:
        raise NotPlainError from None
    return value


def _is_any_path(asked: Any) -> bool:
    """Whether nothing is looked up of a path before the command itself opens it."""
    looked_up = (asked.exists, asked.writable, asked.readable, asked.resolve_path, asked.allow_dash)
    return not any(looked_up) and asked.file_okay and asked.dir_okay and asked.path_type is None
