"""Secrets in argument lists, in command lines inside them, and in free text that quotes either.

An argument list is treated as a list, because a joined line no longer tells where a password ends. Whatever
a process says is cut before any work is done on it, and the work is linear in what is left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from monitord.redaction.made_up import is_kept
from monitord.redaction.operands import secret_operands
from monitord.redaction.patterns import hide_patterns, hide_whole_value
from monitord.redaction.reader import Reader
from monitord.redaction.shell import Command, Word, commands_in, escaped, quoted_in, unescaped
from monitord.redaction.tools import READERS, is_command_line, may_be_command_line, tool_name
from monitord.redaction.words import HIDDEN, TRUNCATED, Hide, is_choice, is_sensitive, looks_chosen

_CAP_BYTES = 4096
_READ_CHARACTERS = 4 * _CAP_BYTES
_READ_WORDS = 1024
_TEXT_CHARACTERS = 65_536
_MAX_DEPTH = 5
_BLANKS = frozenset(" \t\n")
_FIRST_MARKS = frozenset(" =:\n\t/")
_MAX_PASSES = 3
_LISTED = re.compile(
    r"""(?<!\\)(?:"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+')(?:\s{0,8}+(?:,|=>)\s{0,8}+[bru]?(?:"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+')(?!\s?:))+"""
)
_ITEM = re.compile(r"""(?<!\\)"((?:[^"\\\n]|\\.)*+)"|(?<!\\)'((?:[^'\\\n]|\\.)*+)'""")
_NAME = re.compile(r"[A-Za-z_][\w.-]*+", re.A)
_LOGIN_CALL = re.compile(
    r"(?i)(?:(?:s?ftp|ssh|smtp|imap|pop3|ldap|mysql|pg|postgres|mongo|redis|amqp|mqtt|telnet|winrm|smb)[\w4]{0,12}(?:(?:::|\.)\w{1,20})?"
    r"|(?:create|add|new)_?\w{0,10}user|set_?passw\w{0,10}|log_?in|creds?|\bPDO|mysqli|\w{0,30}credential|auth\w{0,20}|connect\w{0,10}|new_?instance|get_?connection|sign_?in|passw\w{0,20}|credentials?|token|secret|hmac|pbkdf2\w{0,10}|encrypt|decrypt|bind|simple_bind_s)\s?(?:[=:]\s?)?[\(\[]\s?(?:[\w$\\.]{1,20},\s?){0,2}\Z"
)
_FEEDS = frozenset({"echo", "printf", "print", "write-output", "/bin/echo"})
_TAKES = re.compile(
    r"(?i)(?:^|[\s/])(?:sudo\s.*-[A-Za-z]*S|su\b|passwd|chpasswd|cryptsetup|kinit|gpg2?\b.*(?:passphrase|-fd)|smbpasswd|htpasswd"
    r"|pdbedit|ssh-add|sshfs|openconnect|mount|vpnc|zuluCrypt|veracrypt|age\b|doas|htdigest|pass\s+insert|secret-tool|keyctl\s+p"
    r"|systemd-creds|lpass|kadmin|ldappasswd|mysql_config_editor|expect|npm\s+login|snap\s+login|zfs\s+load-key|bioctl|geli"
    r"|cryptroot|argon2\b|realm\s+join|net\s+ads|adcli|ipa-|samba-tool|rclone\s+obscure|base64\s*\|)"
    r"|\blogin\b|password|passphrase|passwd|token|secret|--stdin|unlock|\bpass(?:in|out)?\s+stdin"
)
# What these read from `<<<` is text or a program; other tools are given a secret so.
_READ_TEXT = READERS | {
    "jq", "yq", "tr", "cut", "wc", "bc", "dc", "base64", "base32", "xxd", "od", "md5sum", "sha1sum",
    "sha256sum", "sha512sum", "rev", "fold", "fmt", "column", "tee", "xargs", "while", "done", "read",
    "mapfile", "readarray", "sh", "bash", "python", "python3", "perl", "ruby", "node", "php", "mysql",
    "mariadb", "psql", "sqlite3", "mongosh", "clickhouse-client", "redis-cli", "kubectl", "docker", "nc",
    "curl", "at", "mail", "mailx", "wall", "xclip", "pbcopy", "dot", "gnuplot", "patch", "iconv", "sponge",
    "hbase", "hive", "sqlplus", "influx", "crontab", "openssl", "gpg", "ssh", "sudo", "nsupdate",
    "ldapmodify", "ldapadd", "fdisk", "sfdisk", "zsh", "ed", "ex", "nft",
}  # fmt: skip
_TAKES_FILE = re.compile(r"(?i)^-.*(?:pass|key|secret|token|psk|cred|auth|pw)")
_SECRET_FILES = (
    "pass",
    "secret",
    "token",
    ".pgpass",
    ".netrc",
    ".my.cnf",
    "credential",
    "passwd",
    "psk",
    "keyfile",
)
_SEND = re.compile(
    r"""(?<![\w-])(send(?:_user|_slow|ln)?\s+(?:-[a-z-]{1,4}\s+)?)(\\?")((?:[^"\\]|\\[^"])*+)(\\?")"""
)
_SEND_BARE = re.compile(r"(?<![\w-])(send[ \t]{1,3}(?:--[ \t]{1,3})?)([^\s\"'$\\]{4,200}+)(?=\\[rn])")
_SENT_WORDS = re.compile(r"(?:\$\{?\w+\}?|yes|no|exit|quit|y|n|ls|logout)?(?:\\[rn])*", re.S)


def redact_argv(argv: Sequence[str]) -> tuple[str, ...]:
    """Give the arguments with secrets replaced by `***HIDDEN***`, at most 4 kB in all.

    The first argument is kept (a rewritten process title, which is free text, is redacted as such).
    What was cut off is marked by a last `***TRUNCATED***`; more than 16 kB or 1,024 words are not looked at.
    """
    return _capped(hide_arguments(_readable(argv), _plain))


def redact_text(text: str) -> str:
    """Give free text with everything hidden that any rule recognises; argument rules included."""
    return hide_text(text, _plain)


def _plain(_rule: str, value: str) -> str:
    return TRUNCATED if value == TRUNCATED else HIDDEN


def _readable(argv: Sequence[str]) -> list[str]:
    """As much as is looked at. A word that would be cut in two goes whole: half a secret has no shape."""
    if len(argv) <= _READ_WORDS and sum(map(len, argv)) + len(argv) <= _READ_CHARACTERS:
        return list(argv)
    kept: list[str] = []
    room = _READ_CHARACTERS
    for argument in argv[:_READ_WORDS]:
        if len(argument) > room:
            return [*kept, _shortened(argument, room), TRUNCATED]
        room -= len(argument) + 1
        kept.append(argument)
        if room <= 0:
            break
    return kept if len(kept) == len(argv) else [*kept, TRUNCATED]


def _shortened(text: str, length: int) -> str:
    """A text up to the last white space (or comma, or quote) within `length`."""
    piece = text[: max(0, length)]
    end = max(piece.rfind(mark) for mark in " \n\t,;\"'&")
    return piece[: end + 1]


def hide_arguments(argv: Sequence[str], hide: Hide, depth: int = 0, *, in_prose: bool = False) -> list[str]:
    """Run all rules over an argument list, without the cap.

    `in_prose`: the words stand in a text that may be no command line, and that is read as a whole too.
    """
    placed = secret_operands(argv)
    reader = Reader(
        hide,
        tuple(argv),
        lambda text: hide_text(text, hide, depth + 1),
        lambda text: hide_script(text, hide, depth + 1),
        in_prose,
    )
    kept = []
    for index, argument in enumerate(argv):
        if index in placed and argument[placed[index] :]:
            begin = placed[index]
            kept.append(argument[:begin] + hide("operand", argument[begin:]))
            reader.awaiting, reader.before = "", argument
        elif index == 0:
            reader.note_tool(argument)
            kept.append(argument if in_prose else _first(argument, hide, depth))
        else:
            kept.append(reader.take(argument))
    return kept


def hide_text(text: str, hide: Hide, depth: int = 0) -> str:
    """Run the argument rules over the commands in a text, and the patterns over the whole."""
    if len(text) > _TEXT_CHARACTERS:
        text = _shortened(text, _TEXT_CHARACTERS) + TRUNCATED
    if depth == 0 and (is_command_line(text) or may_be_command_line(text)):
        text = hide_script(text, hide, depth)
    for _ in range(
        _MAX_PASSES if depth == 0 else 1
    ):  # what is hidden may end a quote that hid something else
        before, text = text, _hide_once(text, hide, depth)
        if text == before:
            break
    return text


def _hide_once(text: str, hide: Hide, depth: int) -> str:
    if depth >= _MAX_DEPTH:
        return hide("too_deep", text)
    if '"' in text or "'" in text:
        text = _SEND.sub(lambda found: _sent(found, hide), text) if "send" in text else text
        text = _LISTED.sub(lambda found: _hide_listed(found, hide, depth), text)
        text = _hide_quoted(text, hide, depth)
    if not _BLANKS.isdisjoint(text):
        text = _SEND_BARE.sub(lambda m: m[1] + hide("sent", m[2]), text) if "send" in text else text
        text = _hide_commands(text, hide, depth)
    return hide_patterns(text, hide)


def hide_script(text: str, hide: Hide, depth: int) -> str:
    """Run the rules over what a shell is to run: each of its commands is an argument list."""
    if depth >= _MAX_DEPTH:
        return hide("too_deep", text)
    return hide_patterns(_hide_commands(text, hide, depth, is_script=True), hide)


def _sent(found: re.Match[str], hide: Hide) -> str:
    """What an expect script types: a password unless it is a word that is not."""
    if _SENT_WORDS.fullmatch(found[3]):
        return found[0]
    typed = found[3].removesuffix("\\r").removesuffix("\\n")
    return f"{found[1]}{found[2]}{hide('sent', typed)}{found[3][len(typed) :]}{found[4]}"


def _hide_listed(found: re.Match[str], hide: Hide, depth: int) -> str:
    """Quoted strings side by side are arguments: of a command, or of a call whose name says what they are."""
    items = list(_ITEM.finditer(found[0]))
    values = [item[1] if item[1] is not None else item[2] for item in items]
    new = (
        hide_arguments(values, hide, depth + 1, in_prose=True)
        if depth + 1 < _MAX_DEPTH
        else [hide("too_deep", v) for v in values]
    )
    for at, name in enumerate(values[:-1]):
        if values[at + 1] and len(name) < 100 and _NAME.fullmatch(name) and is_sensitive(name):
            new[at + 1] = hide("listed", values[at + 1])
    if _LOGIN_CALL.search(found.string[max(0, found.start() - 60) : found.start()]):
        for at in {len(values) - 1, min(2, len(values) - 1)}:  # connect(host, user, S, database)
            new[at] = hide("call", values[at]) if values[at] else ""
    return _replaced(
        found[0], [(item.start() + 1, item.end() - 1, text) for item, text in zip(items, new, strict=True)]
    )


def _hide_quoted(text: str, hide: Hide, depth: int) -> str:
    """Read what stands between quotes as a text of its own, if it has more than one word."""
    changes = []
    for begin, end, quote in quoted_in(text):
        inside = text[begin:end]
        if _BLANKS.isdisjoint(inside):
            if looks_chosen(inside) and not is_kept(inside):
                changes.append((begin, end, hide("chosen", inside)))
            continue
        plain = unescaped(inside) if quote == '"' else inside
        new = hide_text(hide_whole_value(plain, hide), hide, depth + 1)
        if new != plain:
            changes.append((begin, end, escaped(new) if plain != inside else new))
    return _replaced(text, changes)


def _hide_commands(text: str, hide: Hide, depth: int, *, is_script: bool = False) -> str:
    changes: list[tuple[int, int, str]] = []
    previous: Command | None = None
    group: list[Command] = []
    for command in commands_in(text, is_script=is_script):
        assigned, words = _split(command.words)
        if _ends_group(previous):
            for each in group:  # `(echo S; echo S) | smbpasswd -s`
                changes += _fed(Command(each.words, "|"), command, text, hide)
        group = [] if command.end in ("(", "\n", "&&", "||") else [*group[-8:], command]
        if previous is not None and (previous.end in ("|", "<<<") or _is_substituted(previous)):
            changes += _fed(previous, command, text, hide)
        if is_script:
            values = [word.value for word in assigned]
            changes += _changed(assigned, hide_arguments(["env", *values], hide, max(1, depth))[1:])
        else:
            changes += [change for word in words if (change := _requoted(word, hide, depth))]
        if len(words) == 1 and is_script and " " in words[0].raw:
            changes += _changed(words, [_whole(words[0].value, hide, depth)])
        if len(words) == 1 and is_script and "<<" in text:  # a line that a command is fed
            changes += _changed(words, hide_arguments(["app", words[0].value], hide, max(1, depth))[1:])
        if len(words) > 1:
            values = [word.value for word in words]
            changes += _changed(words, hide_arguments(values, hide, max(1, depth), in_prose=not is_script))
        if command.words and ">" in text:
            changes += _kept_in_file(command, hide)
        previous = command
    return _replaced(text, changes)


def _changed(words: Sequence[Word], new: Sequence[str]) -> list[tuple[int, int, str]]:
    return [
        (word.start, word.end, word.spelt(after))
        for word, after in zip(words, new, strict=True)
        if after != word.value
    ]


def _whole(word: str, hide: Hide, depth: int) -> str:
    """`NAME='a value with blanks'` before a command."""
    return hide_text(hide_whole_value(word, hide), hide, depth + 1)


def _requoted(word: Word, hide: Hide, depth: int) -> tuple[int, int, str] | None:
    """A word that is one text for the shell, though quotes inside it are spelt `'"'"'`."""
    if "'\"'\"'" not in word.raw and "'\\''" not in word.raw:
        return None
    value = word.value
    new = hide_text(value, hide, depth + 1)
    return (word.start, word.end, "'" + new.replace("'", "'\"'\"'") + "'") if new != value else None


def _split(words: tuple[Word, ...]) -> tuple[tuple[Word, ...], tuple[Word, ...]]:
    """The `NAME=value` before a command, and the command."""
    at = 0
    while (
        at < len(words)
        and "=" in words[at].raw
        and words[at].raw.partition("=")[0].replace("_", "").isalnum()
    ):
        at += 1
    return words[:at], words[at:]


def _fed(previous: Command, command: Command, text: str, hide: Hide) -> list[tuple[int, int, str]]:
    """`echo SECRET | sudo -S …` and `kinit … <<< SECRET`."""
    if len(previous.words) > 2 and previous.words[1].raw == "-c":  # `sh -c echo …` that lost its quotes
        previous = Command(previous.words[2:], previous.end)
    elif previous.words[:1] and previous.words[0].raw == "{":
        previous = Command(previous.words[1:], previous.end)
    if not previous.words or not command.words:
        return []
    if _is_substituted(previous):  # `cryptsetup … --key-file <(echo SECRET)`
        previous, command = command, previous
        option = command.words[-2].value if len(command.words) > 1 else ""
        if tool_name(previous.words[0].value) in _FEEDS and _TAKES_FILE.search(option, 0, 80):
            return _hidden(_echoed(previous), hide)
    if previous.end == "<<<":
        if tool_name(previous.words[0].value) in _READ_TEXT and not _TAKES.search(_said(previous, text)):
            return []
        return _hidden(command.words[:1], hide)
    if tool_name(previous.words[0].value) not in _FEEDS or not _TAKES.search(_said(command, text)):
        return []
    return _hidden(_echoed(previous), hide)


def _kept_in_file(command: Command, hide: Hide) -> list[tuple[int, int, str]]:
    """`echo SECRET > /etc/app/secret`."""
    if not command.words or tool_name(command.words[0].value) not in _FEEDS:
        return []
    for at, word in enumerate(command.words[1:], start=1):
        mark, target = word.raw.lstrip("12")[:1], word.value.lstrip("12>")
        if mark == ">":
            target = target or (command.words[at + 1].value if at + 1 < len(command.words) else "")
            names = target[-100:].split("/")[-2:]  # a file's, and its folder's
            is_secret = any(is_sensitive(name) or name.startswith(_SECRET_FILES) for name in names)
            return _hidden(_echoed(Command(command.words[:at], "")), hide) if is_secret else []
    return []


def _echoed(command: Command) -> tuple[Word, ...]:
    words = tuple(word for word in command.words[1:] if not word.raw.startswith("-"))
    return words[1:] if tool_name(command.words[0].value) == "printf" and len(words) > 1 else words


def _hidden(words: Sequence[Word], hide: Hide) -> list[tuple[int, int, str]]:
    return [
        (word.start, word.end, word.spelt(hide("piped", word.value)))
        for word in words
        if not is_choice(word.value) and HIDDEN not in word.value
    ]


def _ends_group(command: Command | None) -> bool:
    """Tell whether what several commands in brackets say is fed to the next one."""
    return command is not None and command.end == "|" and (not command.words or command.words[0].raw == "}")


def _is_substituted(command: Command) -> bool:
    """Tell whether the next command stands in `<(…)` behind this one."""
    return command.end == "(" and bool(command.words) and command.words[-1].raw.endswith("<")


def _said(command: Command, text: str) -> str:
    return text[command.words[0].start : min(command.words[-1].end, command.words[0].start + 400)]


def _replaced(text: str, changes: Sequence[tuple[int, int, str]]) -> str:
    done: list[str] = []
    copied = 0
    for begin, end, new in sorted(changes):
        if begin >= copied:
            done += [text[copied:begin], new]
            copied = end
    return "".join([*done, text[copied:]])


def _first(name: str, hide: Hide, depth: int) -> str:
    if depth:
        return name
    if _FIRST_MARKS.isdisjoint(name):
        return name
    return hide_text(name, hide, 0 if " " in name else 1)  # a title that a process wrote is free text


def _capped(arguments: Sequence[str]) -> tuple[str, ...]:
    """Cut after 4 kB, counting a separator per argument, and say so."""
    room = _CAP_BYTES - len(TRUNCATED) - 1
    kept: list[str] = []
    used = 0
    if _size("".join(arguments)) + len(arguments) <= _CAP_BYTES:
        return tuple(arguments)
    for argument in arguments:
        size = _size(argument) + 1
        if used + size > room:
            piece = argument[: max(0, room - used - 1)]
            while _size(piece) > room - used:
                piece = piece[: len(piece) * 3 // 4]
            kept += [piece] if piece else []
            break
        kept.append(argument)
        used += size
    return (*kept, TRUNCATED)


def _size(argument: str) -> int:
    return len(argument.encode("utf-8", "surrogatepass"))
