"""Secrets in argument lists and in free text that quotes them.

An argument list is treated as a list, because a joined line no longer tells where a password ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from monitord.redaction.operands import secret_operands
from monitord.redaction.patterns import hide_patterns, hide_scheme
from monitord.redaction.words import HIDDEN, TRUNCATED, Hide, is_sensitive

_CAP_BYTES = 4096
_MAX_QUOTING = 3

# Short options that carry a password: tool → letters. `attached` take the value in the same word only.
_MYSQL = ("mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlshow", "mysqlcheck", "mysqlslap",
          "mariadb", "mariadb-dump", "mariadb-admin", "7z", "7za", "7zr")  # fmt: skip
_LDAP = ("ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldappasswd", "ldapwhoami", "ldapcompare")
_ATTACHED: dict[str, str] = {**dict.fromkeys(_MYSQL, "p"), "rar": "ph", "unrar": "p"}
_SEPARATE: dict[str, str] = {
    **dict.fromkeys(_LDAP, "w"),
    **dict.fromkeys(("mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "cqlsh"), "p"),
    **dict.fromkeys(("sqlcmd", "bcp", "tsql", "ipmitool", "zip", "unzip"), "P"),
    **dict.fromkeys(("snmpget", "snmpwalk", "snmpset", "snmpbulkwalk"), "cAX"),
    **dict.fromkeys(("redis-cli", "redis-benchmark", "valkey-cli"), "a"),
    **dict.fromkeys(("mosquitto_pub", "mosquitto_sub", "isql"), "P"),
    **dict.fromkeys(("ncftpput", "ncftpget", "ncftp"), "p"),
    **dict.fromkeys(("hydra", "nxc", "netexec", "crackmapexec", "evil-winrm", "cadaver"), "p"),
    "yubico-piv-tool": "PN",
    "sshpass": "p",
    "curl": "uUb",
    "lftp": "u",
    "smbclient": "U",
    "rpcclient": "U",
    "openssl": "kK",
    "rdesktop": "p",
    "http": "a",
    "ssh-keygen": "NP",
    "useradd": "p",
    "usermod": "p",
}
# Only with this word among the arguments: `docker run -p` is a port.
_WITH_VERB: dict[str, tuple[str, str]] = {
    "docker": ("login", "p"),
    "podman": ("login", "p"),
    "buildah": ("login", "p"),
    "skopeo": ("login", "p"),
    "nerdctl": ("login", "p"),
    "helm": ("login", "p"),
    "oc": ("login", "p"),
    "az": ("login", "p"),
    "twine": ("upload", "p"),
    "doctl": ("init", "t"),
}
_ORACLE = frozenset({"sqlplus", "rman", "expdp", "impdp", "sqlldr", "exp", "imp"})  # user/password@database
# `nmcli … password X`, `npm config set //registry.example.org/:_authToken X`
_BARE_NAME = re.compile(
    r"pass(?:word|wd|phrase)|[A-Za-z]++(?:_[A-Za-z]++)++|//[^\s:]{1,200}+:_[A-Za-z]{1,40}+"
)
_LOGIN_OPTIONS: dict[str, frozenset[str]] = {  # their value is user:password, or the password
    "curl": frozenset({"--user", "--proxy-user", "--basic"}),
    "etcdctl": frozenset({"--user"}),
    "swaks": frozenset({"-ap"}),
    "sendemail": frozenset({"-xp"}),
}
_OPTION = re.compile(r"-{1,2}[A-Za-z][\w.-]*+")
_TOKEN = re.compile(r"(?:(?<!\w)\"[^\"\n]*\"|(?<!\w)'[^'\n]*'|\S)+")


def redact_argv(argv: Sequence[str]) -> tuple[str, ...]:
    """Give the arguments with secrets replaced by `***HIDDEN***`, at most 4 kB in all.

    The first argument is kept (a rewritten process title, which is free text, is redacted as such).
    What was cut off is marked by a last `***TRUNCATED***`.
    """
    return _capped(hide_arguments(argv, _plain))


def redact_text(text: str) -> str:
    """Give free text with everything hidden that any rule recognises; argument rules included."""
    return hide_text(text, _plain)


def _plain(_rule: str, value: str) -> str:
    return TRUNCATED if value == TRUNCATED else HIDDEN


def hide_arguments(argv: Sequence[str], hide: Hide) -> list[str]:
    """Run all rules over an argument list, without the cap."""
    placed = secret_operands(argv)
    reader = _Reader(hide, tuple(argv), knows_bare_names=not placed)
    kept = []
    for index, argument in enumerate(argv):
        if index in placed:
            kept.append(hide("operand", argument))
        elif index == 0:
            reader.note_tool(argument)
            kept.append(_first(argument, hide))
        else:
            kept.append(reader.take(argument))
    return kept


def hide_text(text: str, hide: Hide, quoting: int = 0) -> str:
    """Run the argument rules over the words of a text, then the patterns over the whole."""
    if "-" in text:
        text = "\n".join(_hide_line(line, hide, quoting) for line in text.split("\n"))
    return hide_patterns(text, hide)


def _hide_line(line: str, hide: Hide, quoting: int) -> str:
    if (
        " -" not in line
        and not line.startswith("-")
        and "\t-" not in line
        and "'-" not in line
        and '"-' not in line
    ):
        return line
    reader = _Reader(hide, tuple(line.split()), quoting + 1)
    return _TOKEN.sub(lambda found: reader.take(found[0]), line)


def _first(name: str, hide: Hide) -> str:
    return hide_text(name, hide) if any(character in name for character in " =:\n\t") else name


@dataclass(slots=True)
class _Reader:
    """Walks over arguments and remembers which tool they belong to and whether a value is due."""

    hide: Hide
    words: tuple[str, ...]
    quoting: int = 0
    knows_bare_names: bool = False
    letters: str = field(default="", init=False)
    attached: str = field(default="", init=False)
    awaiting: bool = field(default=False, init=False)
    scheme: str = field(default="", init=False)
    logins: frozenset[str] = field(default=frozenset(), init=False)
    is_oracle: bool = field(default=False, init=False)

    def take(self, argument: str) -> str:
        if self.awaiting:
            self.awaiting = False
            if argument and not self._is_option(argument):
                return _keep_quotes(argument, "option_value", self.hide)
        scheme, self.scheme = self.scheme, argument if argument.lower() in ("bearer", "basic") else ""
        if scheme:
            return hide_scheme(scheme, argument, self.hide)
        if argument.startswith("-"):
            return self._option(argument)
        if self.is_oracle and "/" in argument.partition("@")[0]:
            return f"{argument.partition('/')[0]}/{self.hide('tool_login', argument.partition('/')[2])}"
        self.note_tool(argument)
        if self.knows_bare_names and _BARE_NAME.fullmatch(argument) and is_sensitive(argument):
            self.awaiting = True
            return argument
        if self.quoting < _MAX_QUOTING and argument[:1] in "\"'" and len(argument) > 2:
            inside = argument[1:-1] if argument[-1] == argument[0] else argument[1:]
            rest = argument[0] if argument[-1] == argument[0] else ""
            return argument[0] + hide_text(inside, self.hide, self.quoting + 1) + rest
        return argument if self.quoting else hide_text(argument, self.hide)

    def _is_option(self, argument: str) -> bool:
        """A value that looks like an option means that the option before it had none (it prompts)."""
        return (argument.startswith("--") and len(argument) > 3) or (
            argument[0] == "-" and len(argument) == 2
        )

    def _option(self, argument: str) -> str:
        name, equals, value = argument.partition("=")
        letter = argument[1:2]
        if equals and _OPTION.fullmatch(name) and (is_sensitive(name) or name in self.logins):
            return f"{name}={_keep_quotes(value, 'option', self.hide)}" if value else argument
        if letter and letter in self.attached and len(argument) > 2:
            return argument[:2] + _keep_quotes(argument[2:], "tool_option", self.hide)
        if letter and letter in self.letters:
            self.awaiting = len(argument) == 2
            return argument[:2] + (
                _keep_quotes(argument[2:], "tool_option", self.hide) if argument[2:] else ""
            )
        if _OPTION.fullmatch(argument):
            cluster = argument[1] != "-" and len(argument) <= 5 and argument[-1] in self.letters
            self.awaiting = cluster or is_sensitive(argument) or argument in self.logins
        return argument if self.quoting else hide_patterns(argument, self.hide)

    def note_tool(self, argument: str) -> None:
        """Remember what the options that follow mean, if this word is the name of a tool."""
        name = argument.strip("\"'").rpartition("/")[2]
        self.is_oracle = self.is_oracle or name in _ORACLE
        self.logins = _LOGIN_OPTIONS.get(name, self.logins)
        if name in _ATTACHED:
            self.attached, self.letters = _ATTACHED[name], ""
        elif name in _SEPARATE:
            self.attached, self.letters = "", _SEPARATE[name]
        elif name in _WITH_VERB:
            verb, letters = _WITH_VERB[name]
            self.attached, self.letters = "", letters if verb in self.words else ""


def _keep_quotes(value: str, rule: str, hide: Hide) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[0] + (hide(rule, value[1:-1]) if value[1:-1] else "") + value[0]
    return hide(rule, value)


def _capped(arguments: Sequence[str]) -> tuple[str, ...]:
    """Cut after 4 kB, counting a separator per argument, and say so."""
    room = _CAP_BYTES - len(TRUNCATED) - 1
    kept: list[str] = []
    used = 0
    if sum(_size(argument) + 1 for argument in arguments) <= _CAP_BYTES:
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
