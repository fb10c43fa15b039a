"""Walks over the arguments of a command and hides those that are secret by what stands before them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from monitord.redaction.patterns import hide_scheme, hide_whole_value
from monitord.redaction.tools import BARE_NAMED, CARRIERS, NAMING, ORACLE, READERS, TOOLS, Tool, is_command_line, tool_name
from monitord.redaction.words import (
    Hide,
    is_choice,
    is_sensitive,
    is_suspicious,
    is_wordlike,
    looks_chosen,
    looks_made,
)

_NO_TOOL = Tool()
_OPTION = re.compile(r"-{1,2}(?://)?[A-Za-z_][\w.:/@-]*+", re.A)
_LONG_OPTION = re.compile(r"--[a-z][a-z0-9]*+(?:-[a-z0-9]++|[A-Z][a-z]++)*+(?:=.*)?", re.S)
_BARE_NAME = re.compile(
    r"pass(?:word|wd|phrase|wort)?[12]?|secret|psk|pwd|requirepass|masterauth|auth-?token|api-?key|"
    r"[A-Za-z]++(?:[_-][A-Za-z]++)++|//[^\s:]{1,200}+:_[A-Za-z]{1,40}+|[a-z0-9-]{1,40}\.(?:psk|password)",
    re.I,
)
_SURE_NAMES = ("password", "passwd", "passphrase", "requirepass", "masterauth")
_KEPT_VALUE = re.compile(r"(?:file|env|fd|stdin|prompt|keyring)(?::.*)?", re.S)
_LONG_WORDS = frozenset(
    {"-password", "-passwd", "-passphrase", "-pass", "-pwd", "-pw", "-pin", "-key", "-user"}
)
_PASSWORD_LETTERS = frozenset({"-p", "-P", "-w", "-W"})  # of a tool that nobody knows
_ABOUT_SECRETS = re.compile(
    r"(?i)pass(?!ive|es|enger|age)|pwd|secret|credential|\bauth|authkey|_auth|login|token|\bpw\b|^-[uU]$|user"
)
_NO_PASSWORD = re.compile(r"[0-9:,.-]*+|[/~.].*|[0-9]+:.*|[A-Za-z][\w.-]{0,60}+=.*|true|false", re.S)
_ISSUED = re.compile(
    r"(?:[0-9a-f]{12,}+|[0-9A-F]{12,}+|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
)
_SLASH_OPTION = re.compile(r"/[A-Za-z]{2,40}+")
_SET_NAME = re.compile(r"[A-Za-z_][\w.-]{0,80}+", re.A)
_SETTERS = frozenset({"set", "put", "config", "config:set", "setenv"})
_SET_PASSWORD = re.compile(r"set(?:[_-][a-z]++){0,3}+", re.I)
_VERBS_OF_TOKENS = frozenset({"token", "auth", "authenticate", "login", "activate", "authkey"})
_TAKES_SCRIPT = frozenset(
    {"sh", "bash", "dash", "zsh", "ksh", "fish", "ash", "ssh", "su", "watch", "flock", "parallel", "xargs",
     "screen", "tmux", "eval"}
)  # fmt: skip


@dataclass(slots=True)
class Reader:
    """Walks over arguments and remembers which tool they belong to and whether a value is due."""

    hide: Hide
    words: tuple[str, ...]
    read_text: Callable[[str], str]
    read_script: Callable[[str], str]
    in_prose: bool = False
    awaiting: str = field(default="", init=False)
    awaits_surely: bool = field(default=True, init=False)
    scheme: str = field(default="", init=False)
    tool: Tool = field(default=_NO_TOOL, init=False)
    name: str = field(default="", init=False)
    options: dict[str, str] = field(default_factory=dict, init=False)
    may_switch: bool = field(default=True, init=False)
    is_for_a_user: bool = field(default=False, init=False)
    is_about_secrets: bool = field(default=False, init=False)
    before: str = field(default="", init=False)
    _verbs: frozenset[str] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        self._verbs = frozenset(word for word in self.words[:64] if word.isalpha())

    def take(self, argument: str) -> str:
        shown = self._taken(argument)
        if _ABOUT_SECRETS.search(argument, 0, 80) and argument[:1] not in "/.~":
            self.is_about_secrets = True
        self.before = argument
        return shown

    def _taken(self, argument: str) -> str:
        if self.awaiting:
            manner, self.awaiting = self.awaiting, ""
            if argument and not self._is_option(argument, manner):
                return self._value(manner, argument)
        if self.before == "<<<" and self.is_about_secrets:
            return self._value("secret", argument)
        scheme, self.scheme = self.scheme, argument if argument.lower() in ("bearer", "basic") else ""
        if scheme:
            return hide_scheme(scheme, argument, self.hide)
        if argument.startswith("-") and len(argument) > 1:
            return self._option(argument)
        if argument[:1] == "/" and not self.in_prose and self._is_slash_option(argument):
            self.awaiting = "secret"
            return argument
        if argument in self.options:  # pdftk's `user_pw`, signtool's `/p`
            self.awaiting = self.options[argument]
            return argument
        if self.name in ORACLE and (login := self._oracle(argument)):
            return login
        self.note_tool(argument)
        if self._is_bare_name(argument):
            self.awaiting, self.awaits_surely = "secret", self._is_set(argument)
            return argument
        if argument in _VERBS_OF_TOKENS and not self.in_prose and self.name not in READERS:
            self.awaiting = "verb's"
            return argument
        return self._text(argument)

    def _is_option(self, argument: str, manner: str) -> bool:
        """A value that looks like an option means that the option before it had none (it prompts)."""
        if manner in ("user's", "anybody's", "account's", "verb's") and argument.startswith("-"):
            return True
        if manner == "weak" or not self.awaits_surely:
            self.awaits_surely = True
            if argument.startswith("-") or not looks_made(argument):
                return True
        return bool(_LONG_OPTION.fullmatch(argument)) or (argument[0] == "-" and len(argument) == 2)

    def _value(self, manner: str, value: str) -> str:
        if _KEPT_VALUE.fullmatch(value) or (is_choice(value) and manner != "cert"):
            return value
        if manner == "verb's" and (any(mark in value for mark in "/:=@.,<>|; ") or not looks_made(value)):
            return self._text(value)
        if manner in ("user's", "anybody's") and (_NO_PASSWORD.fullmatch(value) or len(value) < 4):
            return self._text(value)
        if manner == "account's":
            return self._account(value)
        if manner == "anybody's" and not looks_chosen(value, 1) and not _ISSUED.fullmatch(value):
            return self._text(value)
        if manner == "cookie" and "=" not in value:
            return value
        if manner == "cert":
            name, colon, secret = value.rpartition(":")
            return (
                f"{name}:{self.hide('tool_option', secret)}" if colon and secret and len(name) > 1 else value
            )
        if manner == "login" and not any(mark in value for mark in ":%,"):
            return self._text(value)
        if manner == "login" and "=" in value.partition(":")[0] and "," not in value:
            return self._text(value)
        return self.hide("tool_option" if manner != "secret" else "option_value", value)

    def _option(self, argument: str) -> str:
        name, equals, value = argument.partition("=")
        if equals and value and len(name) < 200 and _OPTION.fullmatch(name):
            if name in self.options:
                return f"{name}={self._value(self.options[name], value)}"
            if is_sensitive(name) and not self._is_named(name):
                return f"{name}={self._value('secret', value)}"
            if (is_suspicious(name) or self._is_named(name)) and looks_made(value):
                return f"{name}={self.hide('option', value)}"
            if self._is_named(name):
                return argument
        if argument[1] != "-" and (attached := self._attached(argument)):
            return attached
        if argument in self.options:
            self.awaiting = self.options[argument] if self.options[argument] != "attached" else ""
            return argument
        if len(argument) < 200 and _OPTION.fullmatch(argument):
            if argument[1] != "-" and 2 < len(argument) <= 5 and argument[-1] in self.tool.letters:
                self.awaiting = self.options.get(f"-{argument[-1]}", "")
            elif is_sensitive(argument) and not self._is_named(argument):
                self.awaiting = "secret"
            elif argument in _PASSWORD_LETTERS and self.tool is _NO_TOOL and self.name not in READERS:
                self.awaiting = "user's" if self.is_for_a_user else "anybody's"
            elif argument in ("-u", "-U", "--user", "--username", "--login-user"):
                self.is_for_a_user, self.awaiting = True, "account's"
            elif argument in ("--value", "--data") and self.is_about_secrets:
                self.awaiting = "secret"
            elif is_suspicious(argument) or self._is_named(argument):
                self.awaiting = "weak"
            return argument
        return self._text(argument)

    def _attached(self, argument: str) -> str:
        """`-pSECRET` of a tool that takes it so, or of any where the rest looks like a password."""
        for length in (4, 3, 2):
            manner = self.options.get(argument[:length], "")
            rest = argument[length:]
            is_word = manner == "next" or argument in _LONG_WORDS
            if manner and rest and not is_word and not (length > 2 and rest[0] in "=-"):
                return argument[:length] + self._value(
                    "secret" if manner == "attached" else manner, rest.lstrip("=")
                )
        if not self.in_prose and argument[1].isalpha() and self._is_chosen(argument[2:]):
            return argument[:2] + self.hide("chosen", argument[2:])
        return ""

    def _oracle(self, argument: str) -> str:
        """`user/password@database`; `/nolog`, `/@wallet` and `/ as sysdba` have none."""
        user, slash, rest = argument.partition("@")[0].partition("/")
        if not slash or not user or not rest or "." in user:
            return ""
        return f"{user}/{self.hide('tool_login', argument.partition('/')[2])}"

    def _account(self, value: str) -> str:
        """`-u bob:S` of a tool that nobody knows; `-u 1000:1000` and `-u app:web` name groups."""
        user, colon, rest = value.partition(":")
        is_login = bool(colon and user) and len(rest) > 3 and not any(mark in value for mark in "/=,;| ")
        if not is_login or rest.isdigit() or is_wordlike(rest):
            return self._text(value)
        return f"{user}:{self.hide('login', rest)}"

    def _is_slash_option(self, argument: str) -> bool:
        """`/password S` of Windows' tools."""
        is_data = argument == "/d" and self.is_about_secrets
        if self.name in READERS or argument in self.options:
            return False
        return is_data or (_SLASH_OPTION.fullmatch(argument) is not None and is_sensitive(argument))

    def _is_named(self, option: str) -> bool:
        """`--secret NAME` of a tool that keeps secrets under names."""
        return self.name in NAMING and option.strip("-") in ("secret", "secret-id", "secrets", "secret-name")

    def _is_set(self, name: str) -> bool:
        """`config set DB_PASSWORD S` and `set-initial-password S`: a value follows, whatever its look."""
        is_verb = len(name) < 60 and _SET_PASSWORD.fullmatch(name) is not None
        return name.lower() in _SURE_NAMES or self.before.lower() in _SETTERS or is_verb

    def _is_bare_name(self, argument: str) -> bool:
        if self.name in READERS or (self.in_prose and self.name not in BARE_NAMED):
            return False
        if self.before.lower() in _SETTERS and _SET_NAME.fullmatch(argument) and is_sensitive(argument):
            return True
        return len(argument) < 260 and bool(_BARE_NAME.fullmatch(argument)) and is_sensitive(argument)

    def _text(self, argument: str) -> str:
        if self.in_prose:  # the text that these words stand in is read as one
            return argument
        if " " in argument and (self.name in _TAKES_SCRIPT or is_command_line(argument)):
            return self.read_script(argument)
        argument = hide_whole_value(argument, self.hide)
        shown = self.read_text(argument)
        return self.hide("chosen", shown) if self._is_chosen(shown) else shown

    def _is_chosen(self, argument: str) -> bool:
        if self.name in READERS or any(mark in argument for mark in "/=:,. @%{}[]()<>|\\"):
            return False
        return looks_chosen(argument, 1 if self.is_about_secrets else 3) and not is_wordlike(argument)

    def note_tool(self, argument: str) -> None:
        """Remember what the options that follow mean, if this word is the name of a tool."""
        name = tool_name(argument)
        if not self.may_switch or not (
            name in TOOLS or name in CARRIERS or name in READERS or name in ORACLE or not self.name
        ):
            return
        if self.name and name in READERS:
            return
        self.name, self.tool = name or "?", TOOLS.get(name, _NO_TOOL)
        self.options = dict(self.tool.options)
        for verb, options in self.tool.with_verb.items():
            if verb in self._verbs:
                self.options.update(options)
        is_known = name in TOOLS or name in READERS or name in ORACLE
        self.may_switch = name in CARRIERS or not is_known
        self.is_for_a_user = False
