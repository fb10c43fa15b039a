"""Names of Rust: both of its manglings, without hashes. ValueError for what is not known; work is bounded.

The older one is C++'s with words for signs. Of the newer one, RFC 2603 (`_R…`), types that a path is given
are `…`.
"""

from __future__ import annotations

import re
from typing import NoReturn

_HASH = re.compile(r"17h[0-9a-f]{16}E(?=\.|$)")
_LENGTH, _HEX = re.compile(r"[0-9]{1,4}"), re.compile(r"u([0-9a-f]{1,6})")
_SIGNS = {"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}
_STEPS_CAP, _DEPTH_CAP = 2000, 50
_BASIC = {
    "a": "i8", "b": "bool", "c": "char", "d": "f64", "e": "str", "f": "f32", "h": "u8", "i": "isize",
    "j": "usize", "l": "i32", "m": "u32", "n": "i128", "o": "u128", "s": "i16", "t": "u16", "u": "()",
    "v": "...", "x": "i64", "y": "u64", "z": "!", "p": "_",
}  # fmt: skip
_WITHIN = {"C": "closure", "S": "shim"}
GIVEN = "<…>"


def is_rust(mangled: str) -> bool:
    return mangled.startswith("_R") or (mangled.startswith("_ZN") and _HASH.search(mangled) is not None)


def function_name(mangled: str) -> str:
    """`_ZN4main3hot17h0123456789abcdefE` or `_RNvCs12_4main3hot` as `main::hot`."""
    if mangled.startswith("_R"):
        return _Reader(mangled.partition(".")[0], 2).whole()
    found = _HASH.search(mangled)
    if found is None or not mangled.startswith("_ZN"):
        raise ValueError("invalid name: expected one of Rust")
    return _legacy(mangled[3 : found.start()])


def _legacy(text: str) -> str:
    parts, at = [], 0
    while at < len(text):
        length = _LENGTH.match(text, at)
        if length is None:
            raise ValueError("invalid name: expected a length")
        at = length.end() + int(length[0])
        if at > len(text):
            raise ValueError("invalid name: expected more letters")
        parts.append(_with_signs(text[length.end() : at]))
    return "::".join(parts)


def _with_signs(word: str) -> str:
    if word.startswith("_$"):
        word = word[1:]
    pieces = word.split("$")
    if len(pieces) % 2 == 0:
        raise ValueError("invalid name: expected signs in pairs of $")
    for number in range(1, len(pieces), 2):
        pieces[number] = _sign(pieces[number])
    pieces[::2] = [piece.replace("..", "::") for piece in pieces[::2]]
    return "".join(pieces)


def _sign(word: str) -> str:
    code = _HEX.fullmatch(word)
    if code and int(code[1], 16) < 0x110000:
        return chr(int(code[1], 16))
    if word not in _SIGNS:
        raise ValueError("invalid name: expected a sign that is known")
    return _SIGNS[word]


class _Reader:
    def __init__(self, text: str, at: int) -> None:
        self._text, self._at = text, at
        self._steps = self._depth = 0

    def whole(self) -> str:
        name = self._path(is_value=True)
        if self._at < len(self._text):
            self._path(is_value=False)  # where a generic function was instantiated
        if self._at < len(self._text):
            self._unknown()
        return name

    def _unknown(self) -> NoReturn:
        raise ValueError("invalid name: expected another one")

    def _letter(self) -> str:
        self._steps += 1
        if self._steps > _STEPS_CAP or self._depth > _DEPTH_CAP or self._at >= len(self._text):
            self._unknown()
        self._at += 1
        return self._text[self._at - 1]

    def _take(self, letter: str) -> bool:
        if self._text[self._at : self._at + 1] != letter:
            return False
        self._at += 1
        return True

    def _number(self) -> int:
        """Base 62, which ends in an underscore."""
        number, is_first = 0, True
        while (letter := self._letter()) != "_":
            digit = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".find(letter)
            if digit < 0:
                self._unknown()
            number, is_first = 62 * number + digit, False
        return 0 if is_first else number + 1

    def _disambiguator(self) -> int:
        return self._number() + 1 if self._take("s") else 0

    def _identifier(self) -> tuple[str, int]:
        which = self._disambiguator()
        is_foreign = self._take("u")
        digits = _LENGTH.match(self._text, self._at)
        if digits is None or (len(digits[0]) > 1 and digits[0][0] == "0"):
            self._unknown()
        self._at = digits.end()
        self._take("_")
        word = self._text[self._at : self._at + int(digits[0])]
        if len(word) < int(digits[0]):
            self._unknown()
        self._at += len(word)
        return (_decoded(word) if is_foreign else word), which

    def _again(self, read: str, *, is_value: bool = False) -> str:
        """What stands further in front."""
        begin = self._at - 1
        to = 2 + self._number()
        if to >= begin:
            self._unknown()
        here, self._at = self._at, to
        found = self._path(is_value=is_value) if read == "path" else self._type()
        self._at = here
        return found

    def _path(self, *, is_value: bool) -> str:
        self._depth += 1
        found = self._some_path(self._letter(), is_value=is_value)
        self._depth -= 1
        return found

    def _some_path(self, letter: str, *, is_value: bool) -> str:
        if letter == "C":
            return self._identifier()[0]
        if letter == "M":
            self._disambiguator()
            self._path(is_value=False)
            return f"<{self._type()}>"
        if letter in "XY":
            if letter == "X":
                self._disambiguator()
                self._path(is_value=False)
            type_ = self._type()
            return f"<{type_} as {self._path(is_value=False)}>"
        if letter == "N":
            return self._nested(self._letter(), is_value=is_value)
        if letter == "I":
            name = self._path(is_value=is_value)
            while not self._take("E"):
                self._argument()
            return f"{name}::{GIVEN}" if is_value else f"{name}{GIVEN}"
        if letter == "B":
            return self._again("path", is_value=is_value)
        raise ValueError("invalid name: expected a path")

    def _nested(self, space: str, *, is_value: bool) -> str:
        outer = self._path(is_value=is_value)
        name, which = self._identifier()
        if space.isupper():
            word = _WITHIN.get(space, space)
            return f"{outer}::{{{word}{':' + name if name else ''}#{which}}}"
        if not space.isalpha():
            self._unknown()
        return f"{outer}::{name}" if name else outer

    def _argument(self) -> None:
        if self._take("L"):
            self._number()
        elif self._take("K"):
            self._constant()
        else:
            self._type()

    def _constant(self) -> str:
        """A number, as it is written; `_` for any other."""
        letter = self._letter()
        if letter == "B":
            self._number()
        elif letter != "p":
            if letter not in _BASIC:
                self._unknown()
            sign = "-" if self._take("n") else ""
            digits = ""
            while (digit := self._letter()) != "_":
                digits += digit
            if letter not in "bc" and re.fullmatch("[0-9a-f]{1,32}", digits):
                return f"{sign}{int(digits, 16)}"
        return "_"

    def _type(self) -> str:
        self._depth += 1
        found = self._some_type(self._letter())
        self._depth -= 1
        return found

    def _some_type(self, letter: str) -> str:
        if letter in _BASIC:
            return _BASIC[letter]
        if letter in "RQ":
            if self._take("L"):
                self._number()
            return ("&mut " if letter == "Q" else "&") + self._type()
        if letter in "PO":
            return ("*mut " if letter == "O" else "*const ") + self._type()
        if letter == "S":
            return f"[{self._type()}]"
        if letter == "T":
            parts = []
            while not self._take("E"):
                parts.append(self._type())
            return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
        if letter == "B":
            return self._again("type")
        if letter == "A":
            return f"[{self._type()}; {self._constant()}]"
        if letter == "F":
            return self._function()
        if letter == "D":
            return self._traits()
        self._at -= 1
        return self._path(is_value=False)

    def _function(self) -> str:
        """A pointer to one."""
        self._binder()
        shown = "unsafe " if self._take("U") else ""
        if self._take("K"):
            abi = "C" if self._take("C") else self._identifier()[0].replace("_", "-")
            shown += f'extern "{abi}" '
        taken = []
        while not self._take("E"):
            taken.append(self._type())
        given = self._type()
        return f"{shown}fn({', '.join(taken)})" + (f" -> {given}" if given != "()" else "")

    def _traits(self) -> str:
        """What implements these."""
        self._binder()
        bounds = []
        while not self._take("E"):
            bound = self._path(is_value=False)
            is_bound = False
            while self._take("p"):
                self._identifier()
                self._type()
                is_bound = True
            bounds.append(bound + GIVEN if is_bound and not bound.endswith(GIVEN) else bound)
        if not self._take("L"):
            self._unknown()
        self._number()
        return f"dyn {' + '.join(bounds)}"

    def _binder(self) -> None:
        """How many lifetimes follow that are named nowhere else."""
        if self._take("G"):
            self._number()


def _decoded(word: str) -> str:
    """Punycode with an underscore for its hyphen."""
    plain, _, extra = word.rpartition("_")
    try:
        return f"{plain}-{extra}".encode().decode("punycode") if plain else extra.encode().decode("punycode")
    except UnicodeError as error:
        raise ValueError("invalid name: expected Punycode") from error
