"""Secrets in one word of an argument list by the word's own form, which in free text would say too little."""

from __future__ import annotations

import re

from monitord.redaction.logins import GROUPING, is_person, login_in
from monitord.redaction.unknown import is_issued_or_chosen
from monitord.redaction.words import HIDDEN, Hide, is_sensitive

_TASK = re.compile(r"([\w:.-]{1,80}\[)([\w.@-]{1,60}),([^\],]{3,200})\]")
_USER_OPTION = re.compile(
    r"((?:[^=]{0,200},)?user(?:name)?=[A-Za-z][\w.@-]{0,60}:)([^,:/]{4,200})(,.*)?", re.S
)
_ENVIRONMENT = re.compile(r"([A-Z][A-Z0-9_]{2,60}+)=([A-Za-z0-9+/_.=~!-]{20,200}+)")
_NAMES_THING = re.compile(
    r"(?:^|_)(?:ID|UUID|GUID|SHA\d*|COMMIT|HASH|REV|REVISION|DIGEST|TRACE|BUILD|VERSION|TAG|PATH|DIR|FILE|HOME"
    r"|IMAGE|NAME|URL|URI|HOST|ADDRESS|SOCK|FLAGS|OPTS)\d?(?:_|$)"
)
_PAIR = re.compile(r"([A-Za-z_][\w.-]{0,80}+) ([^ ]+)", re.A)


def hide_in_word(word: str, tool: str, hide: Hide) -> str:
    """The word with what its form gives away hidden; itself if nothing."""
    if tool not in GROUPING and (login := login_in(word, of_anybody=False)):  # `bob:S`
        return f"{login[0]}{hide('login', login[1])}{login[2]}"
    if (task := _TASK.fullmatch(word)) and is_person(task[2]):  # rake's `user:create[bob,S]`
        return f"{task[1]}{task[2]},{hide('beside_login', task[3])}]"
    if tool not in GROUPING and (given := _USER_OPTION.fullmatch(word)):  # `-o user=bob:S`
        return f"{given[1]}{hide('login', given[2])}{given[3] or ''}"
    if (
        (pair := _PAIR.fullmatch(word)) and HIDDEN not in word and is_sensitive(pair[1])
    ):  # `--define '_gpg_passphrase S'`
        return f"{pair[1]} {hide('pair', pair[2])}" if "_" in pair[1] or not pair[2].isalpha() else word
    if (assigned := _ENVIRONMENT.fullmatch(word)) and not _NAMES_THING.search(assigned[1]):
        is_made = is_issued_or_chosen(assigned[2], least=3)
        return f"{assigned[1]}={hide('environment', assigned[2])}" if is_made else word
    return word
