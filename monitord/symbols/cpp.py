"""Names of C++ as their authors wrote them, without parameters; what templates were given is `…`.

The Itanium C++ ABI, chapter 5.1. What is not known here (expressions, names that are told by substitution) is
a ValueError: a name may stay as it is, and is never a wrong one. Work grows with the name.
"""

from __future__ import annotations

import re
from typing import NoReturn

_DEPTH_CAP = 64
GIVEN = "<…>"
_OPERATORS = {
    "nw": "new", "na": "new[]", "dl": "delete", "da": "delete[]", "aw": "co_await", "ps": "+",
    "ng": "-", "ad": "&", "de": "*", "co": "~", "pl": "+", "mi": "-", "ml": "*", "dv": "/", "rm": "%",
    "an": "&", "or": "|", "eo": "^", "aS": "=", "pL": "+=", "mI": "-=", "mL": "*=", "dV": "/=",
    "rM": "%=", "aN": "&=", "oR": "|=", "eO": "^=", "ls": "<<", "rs": ">>", "lS": "<<=", "rS": ">>=",
    "eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">=", "ss": "<=>", "nt": "!",
    "aa": "&&", "oo": "||", "pp": "++", "mm": "--", "cm": ",", "pm": "->*", "pt": "->", "cl": "()",
    "ix": "[]",
}  # fmt: skip
_BUILTIN = {
    "v": "void", "w": "wchar_t", "b": "bool", "c": "char", "a": "signed char", "h": "unsigned char",
    "s": "short", "t": "unsigned short", "i": "int", "j": "unsigned int", "l": "long",
    "m": "unsigned long", "x": "long long", "y": "unsigned long long", "n": "__int128",
    "o": "unsigned __int128", "f": "float", "d": "double", "e": "long double", "g": "__float128",
    "z": "...",
}  # fmt: skip
_STANDARD = {
    "a": "allocator", "b": "basic_string", "s": "basic_string", "i": "basic_istream",
    "o": "basic_ostream", "d": "basic_iostream",
}  # fmt: skip
_DIGITS, _NUMBER, _SEQUENCE = (
    re.compile(r"[0-9]{1,4}"),
    re.compile(r"n?[0-9]+"),
    re.compile(r"[0-9A-Z]{0,6}_"),
)
_VALUE = re.compile(r"[n0-9a-f_]*")
_THUNK = re.compile(r"(?:Th(n?[0-9]+)_|Tv(n?[0-9]+)_(n?[0-9]+)_)")
_ANONYMOUS = re.compile(r"_GLOBAL_[_.$]N.*", re.DOTALL)


def function_name(mangled: str) -> str:
    """`_ZN3app4Task3runEi` as `app::Task::run`; ValueError for what is not known."""
    if not mangled.startswith("_Z"):
        raise ValueError("invalid name: expected one of C++")
    return _Reader(mangled.partition(".")[0], 2).encoding()


def _with(name: str, given: str) -> str:
    """`operator<< <…>`, as compilers write it."""
    return f"{name} {given}" if given and name.endswith("<") else name + given


class _Reader:
    def __init__(self, text: str, at: int) -> None:
        self._text, self._at, self._depth = text, at, 0

    def _take(self, words: str) -> bool:
        if self._text.startswith(words, self._at):
            self._at += len(words)
            return True
        return False

    def _one_of(self, letters: str) -> str:
        letter = self._text[self._at : self._at + 1]
        if not letter or letter not in letters:
            return ""
        self._at += 1
        return letter

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            self._unknown()
        self._at = found.end()
        return found[0]

    def _unknown(self) -> NoReturn:
        raise ValueError("invalid name: expected another one")

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEPTH_CAP:
            self._unknown()

    @property
    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    # ------------------------------------------------------------------------------------------- names

    def encoding(self) -> str:
        """A function's name; its type behind it is left where it is."""
        thunk = _THUNK.match(self._text, self._at)
        if thunk:
            self._at = thunk.end()
            return ("non-virtual" if thunk[1] else "virtual") + " thunk to " + self.encoding()
        if self._next in "TG":
            self._unknown()  # of data
        return self._name(is_shown=True)

    def _name(self, *, is_shown: bool) -> str:
        self._deeper()
        try:
            if self._take("N"):
                return self._nested(is_shown=is_shown)
            if self._take("Z"):
                return self._local(is_shown=is_shown)
            name = "std::" if self._take("St") else ""
            name += self._unqualified("", is_shown=is_shown)
            return _with(name, self._given())
        finally:
            self._depth -= 1

    def _nested(self, *, is_shown: bool) -> str:
        while self._one_of("rVKROH"):
            pass
        name, last = "", ""
        while not self._take("E"):
            if self._next == "I":
                name = _with(name, self._given())
            elif self._next in "STD" and not self._text.startswith(("D0", "D1", "D2", "D4", "D5"), self._at):
                name, last = self._prefix(is_shown=is_shown)
            elif not self._take("M"):  # a closure's member
                last = self._unqualified(last, is_shown=is_shown)
                name += f"::{last}" if name else last
                last = last.partition("[abi:")[0]
        if not name:
            self._unknown()
        return name

    def _prefix(self, *, is_shown: bool) -> tuple[str, str]:
        """What a nested name may begin with besides names: std, a class of it, or what was before."""
        if self._take("St"):
            return "std", "std"
        for letter, found in _STANDARD.items():
            if self._take("S" + letter):
                return f"std::{found}" + (GIVEN if letter not in "ab" else ""), found
        if is_shown:
            self._unknown()
        self._type()
        return "?", "?"

    def _local(self, *, is_shown: bool) -> str:
        """Of something within a function."""
        outer = self.encoding() if is_shown else self._skipped_encoding()
        while not self._take("E"):
            self._type()
        if self._take("s"):
            self._discriminator()
            return outer
        if self._take("d"):
            self._unknown()
        inner = self._name(is_shown=is_shown)
        self._discriminator()
        return f"{outer}::{inner}"

    def _skipped_encoding(self) -> str:
        if self._next in "TG":
            self._unknown()
        return self._name(is_shown=False)

    def _discriminator(self) -> None:
        if self._take("__"):
            self._match(_NUMBER)
            self._take("_")
        elif self._text[self._at : self._at + 1] == "_" and self._text[self._at + 1 : self._at + 2].isdigit():
            self._at += 2

    def _unqualified(self, owner: str, *, is_shown: bool) -> str:
        """`owner`: whose constructor it may be."""
        self._take("L")
        if self._next.isdigit():
            name = self._source_name()
        elif self._take("C"):
            if not self._one_of("12345") or not owner or owner[0] == "{":
                self._unknown()
            name = owner
        elif self._take("D"):
            if not self._one_of("01245") or not owner or owner[0] == "{":
                self._unknown()
            name = "~" + owner
        elif self._take("U"):
            name = self._unnamed()
        elif self._take("cv"):
            name = f"operator {self._type()}"
            if is_shown and name.endswith("?"):
                self._unknown()
        elif self._take("li"):
            name = f'operator"" {self._source_name()}'
        else:
            name = self._operator()
        while self._take("B"):
            name += f"[abi:{self._source_name()}]"
        return name

    def _operator(self) -> str:
        word = _OPERATORS.get(self._text[self._at : self._at + 2])
        if word is None:
            self._unknown()
        self._at += 2
        return f"operator{' ' if word[0].isalpha() else ''}{word}"

    def _source_name(self) -> str:
        length = int(self._match(_DIGITS))
        name = self._text[self._at : self._at + length]
        if not length or len(name) < length:
            self._unknown()
        self._at += length
        return "(anonymous namespace)" if _ANONYMOUS.fullmatch(name) else name

    def _unnamed(self) -> str:
        if self._take("l"):
            while not self._take("E"):
                self._type()
            kind = "lambda"
        elif self._take("t"):
            kind = "unnamed type"
        else:
            self._unknown()
        number = self._match(_SEQUENCE)[:-1]
        if number and not number.isdigit():
            self._unknown()
        return f"{{{kind}#{int(number) + 2 if number else 1}}}"

    # ------------------------------------------------------------------------------------------- types

    def _given(self) -> str:
        """What a template was given, if it was."""
        if not self._take("I"):
            return ""
        self._deeper()
        while not self._take("E"):
            self._argument()
        self._depth -= 1
        return GIVEN

    def _argument(self) -> None:
        if self._take("J"):
            while not self._take("E"):
                self._argument()
        elif self._take("L"):
            self._literal()
        elif self._take("XadL_Z"):  # the address of a function
            self._skipped_encoding()
            while not self._take("E"):
                self._type()
            if not self._take("E"):
                self._unknown()
        else:
            self._type()

    def _literal(self) -> None:
        if self._take("_Z"):
            self._skipped_encoding()
            while not self._take("E"):
                self._type()
            return
        self._type()
        self._match(_VALUE)
        if not self._take("E"):
            self._unknown()

    def _type(self) -> str:
        """What it is called, if it is built in; `?` for all others."""
        self._deeper()
        try:
            while self._one_of("rVKPROCG"):
                if not self._next:
                    self._unknown()
            letter = self._next
            if letter in _BUILTIN and letter:
                was_plain = self._text[self._at - 1 : self._at] not in "rVKPROCG"
                self._at += 1
                return _BUILTIN[letter] if was_plain else "?"
            self._other_type(letter)
            return "?"
        finally:
            self._depth -= 1

    def _other_type(self, letter: str) -> None:
        if letter == "N" or letter == "Z" or letter.isdigit():
            self._name(is_shown=False)
        elif letter == "S":
            self._substitution()
        elif letter == "T":
            self._at += 1
            if self._one_of("sue"):
                self._name(is_shown=False)
            else:
                self._match(_SEQUENCE)
            self._given()
        elif letter == "F":
            self._at += 1
            self._take("Y")
            while not self._take("E"):
                if not self._one_of("RO") or self._next != "E":
                    self._type()
        elif letter == "A":
            self._at += 1
            if not self._take("_"):
                self._match(_NUMBER)
                if not self._take("_"):
                    self._unknown()
            self._type()
        elif letter == "M":
            self._at += 1
            self._type()
            self._type()
        elif letter == "D":
            self._type_of_d()
        else:
            self._unknown()

    def _substitution(self) -> None:
        if self._take("St"):
            self._unqualified("", is_shown=False)
        else:
            self._at += 1
            if not self._one_of("absiod"):
                self._match(_SEQUENCE)
        self._given()

    def _type_of_d(self) -> None:
        self._at += 1
        if self._take("p"):
            self._type()
        elif self._take("v"):
            self._match(_NUMBER)
            if not self._take("_"):
                self._unknown()
            self._type()
        elif self._take("o"):
            self._type()
        elif self._take("F"):
            self._match(_NUMBER)
            if not self._one_of("_bx"):
                self._unknown()
        elif not self._one_of("dfehisuanc"):
            self._unknown()
