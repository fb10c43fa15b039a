"""Secrets that only their place gives away: the third word of `htpasswd -b FILE USER PASSWORD`.

Forms are taken from the tools' manual pages. Only argument lists are read so: in a sentence the same
words mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_NEVER = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class _Form:
    """After the words of `verb`, the operands at `places` are secret; what matches `skipped` is no operand.

    `letter` is a short option without which the tool would prompt for the secret.
    """

    verb: tuple[str, ...]
    places: tuple[int, ...]
    letter: str = ""
    skipped: re.Pattern[str] = _NEVER


_BATCH_PASSWORD = (_Form((), (-1,), letter="b"),)
_FORMS: dict[str, tuple[_Form, ...]] = {
    "htpasswd": _BATCH_PASSWORD,
    "mosquitto_passwd": _BATCH_PASSWORD,
    "rabbitmqctl": tuple(
        _Form((verb,), (1,)) for verb in ("add_user", "change_password", "authenticate_user")
    ),
    "vault": (_Form(("login",), (0,), skipped=re.compile(r"[^=]+=.*", re.S)),),
    "mc": (_Form(("alias", "set"), (2, 3)), _Form(("config", "host", "add"), (2, 3))),
    "net": (
        _Form(("use",), (0,), skipped=re.compile(r"[A-Za-z]:|\*|[\\/].*", re.S)),
        _Form(("user",), (1,), skipped=re.compile(r"[*/].*", re.S)),
    ),
    "samba-tool": (_Form(("user", "create"), (1,)), _Form(("user", "add"), (1,))),
    "wpa_passphrase": (_Form((), (1,)),),
    "ngrok": (_Form(("authtoken",), (0,)), _Form(("config", "add-authtoken"), (0,))),
    "rclone": (_Form(("obscure",), (0,)),),
    "oathtool": (_Form((), (-1,)),),
    "steamcmd": (_Form(("+login",), (1,), skipped=re.compile(r"[+/].*", re.S)),),
}


def secret_operands(argv: Sequence[str]) -> frozenset[int]:
    """Give the positions in `argv` that hold a secret because of what stands before them."""
    return frozenset(
        position
        for at, word in enumerate(argv)
        for form in _FORMS.get(word.rpartition("/")[2], ())
        for position in _places(form, argv, at + 1)
    )


def _places(form: _Form, argv: Sequence[str], begin: int) -> Iterator[int]:
    operands = [at for at in range(begin, len(argv)) if not argv[at].startswith("-")]
    options = [word for word in argv[begin:] if word.startswith("-") and not word.startswith("--")]
    if form.letter and not any(form.letter in word for word in options):
        return
    for start in range(len(operands)):
        rest = operands[start:]
        if tuple(argv[at] for at in rest[: len(form.verb)]) == form.verb:
            values = [at for at in rest[len(form.verb) :] if not form.skipped.fullmatch(argv[at])]
            yield from (values[place] for place in form.places if place < len(values) and values)
            return
