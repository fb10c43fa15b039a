"""Walks over the arguments of a command and hides those that are secret by what stands before them.

More than 400 lines: one walk, whose rules ask each other and share its place in the arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from monitord.redaction.logins import (
    ABOUT_LOGIN,
    GROUPING,
    NAMING_PEOPLE,
    hide_in_word,
    is_email,
    is_person,
    is_place,
    login_in,
    slashed_login_in,
)
from monitord.redaction.made_up import is_file, is_kept, is_made_up, is_nonsense
from monitord.redaction.patterns import hide_scheme, hide_whole_value
from monitord.redaction.tools import (
    BARE_NAMED,
    CARRIERS,
    NAMING,
    ORACLE,
    READERS,
    TAKES_SCRIPT,
    TOOLS,
    Tool,
    is_command_line,
    tool_name,
)
from monitord.redaction.unknown import (
    INSTALLERS,
    LANGUAGES,
    LOGIN_NAMES,
    LOGIN_OPTIONS,
    NUMBERED,
    PASSWORD_LETTERS,
    PIN_WORDS,
    PLAIN_LETTERS,
    PUBLIC,
    RUN_AS,
    RUNNERS,
    SAID_OF_PASSWORDS,
    SHOWS,
    USER_OPTIONS,
    VERBS,
    is_issued,
    is_issued_or_chosen,
    is_letters_password,
    is_telling,
    is_verbs_secret,
    names_thing,
    says_id,
)
from monitord.redaction.words import (
    HIDDEN,
    Hide,
    is_choice,
    is_readable,
    is_sensitive,
    is_suspicious,
    is_wordlike,
    looks_chosen,
    looks_made,
)

_NO_TOOL = Tool()
_OPTION = re.compile(r"-{1,2}(?://)?[A-Za-z_][\w.:/@-]*+", re.A)
_LONG_OPTION = re.compile(r"--[a-z][a-z0-9]*+(?:[-_][a-z0-9]++|[A-Z][a-z]++)*(?:=.*)?", re.S)
_BARE_NAME = re.compile(
    r"pass(?:word|wd|phrase|wort)?[12]?|secret|psk|pwd|requirepass|masterauth|auth-?token|api-?key|(?:[a-z]{1,8}_?)?(?:pin|puk)|"
    r"[A-Za-z]++(?:[_-][A-Za-z]++)+|//[^\s:]{1,200}+:_[A-Za-z]{1,40}+|(?:[a-z0-9_-]{1,40}[.:]){1,6}[a-z_-]{1,40}+",
    re.I,
)
_SURE_NAMES = ("password", "passwd", "passphrase", "requirepass", "masterauth", ".psk")
_FILE = re.compile(
    r"(?:~?/|\.{1,2}/)[\w./@+~-]{2,}+|[\w./-]{1,200}\.(?:pem|key|crt|cer|json|p12|jks|pub|der|pfx|txt|asc)"
)
_FOLDERS = re.compile(r"[\w.+-]{1,80}(?:/[\w.+-]{1,80}){2,12}", re.A)
_PRIVATE_KEY = re.compile(r"--?(?:[a-z]{1,20}[-_])?priv(?:ate)?[-_]?key")
_KEPT_VALUE = re.compile(
    r"(?:file|env|fd|stdin|prompt|keyring)(?::.*)?|(?:[\w.-]+,)?(?:id|src|source|type|env|target|name|mode)=.*|k8s://.*",
    re.S,
)
_LONG_WORDS = frozenset(
    {"-password", "-passwd", "-passphrase", "-pass", "-pwd", "-pw", "-pin", "-key", "-user"}
)
_ABOUT_SECRETS = re.compile(
    r"(?i)pass(?!ive|es|enger|age)|pwd|secret|credential|\bauth|authkey|_auth|login|token|secure|\bpw\b|^-[uU]$|user"
)
_RUNNING_OPTIONS = frozenset({"-exec", "-execdir", "-ok", "--exec"})
_PROGRAM = re.compile(r"[A-Za-z_./][\w./+-]{1,200}", re.A)
_SLASHED_LETTERS = frozenset({"/p", "/gp", "/pth"})  # of xfreerdp
_SLASH_OPTION = re.compile(r"/[A-Za-z]{1,40}+")
_BODIES = frozenset({"-d", "--data", "--data-raw", "--data-binary", "--body"})
_JSON_STRING = re.compile(r'"[^"\s\\]{1,200}+"')
_VALUED = re.compile(r"((?:value|val|data|string)=)(.{4,})", re.S | re.I)
_OPTIONS_INSIDE = re.compile(r"([A-Z][A-Z0-9_]{2,60}=)(--?[A-Za-z].*\s.*)", re.S)
_LOGIN_WORD = re.compile(rf"(?=[A-Za-z][^ /.]*+\Z).{{0,60}}?(?:{ABOUT_LOGIN.pattern[4:]})", re.I | re.S)
_NO_WORD = frozenset("/=:, @%{}[]()<>|\\")
# `host:25000/HEX`, `LM:NT` hashes, `bo-UUID`.
_ISSUED_TAIL = re.compile(
    r"([\w.-]{1,80}:[0-9]{1,5}/|[0-9a-f]{32}:|:)([0-9a-f]{32})"
    r"|([a-z]{2}-)([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
)
_NAME = re.compile(r"[\w.@+-]{1,200}")
_LEAST_BITS = 10
_PART = re.compile(
    r"(?<![^=:,;@> \"'(\[{])\w[\w.!$^~?#*+%-]{5,63}+(?=={0,2}(?:\Z|[:,; \"')\]}]))(?!://)", re.A
)
_IN_QUERY = re.compile(r"://[^\s\"'<>`]{1,200}[?&]\w{1,40}=\Z")
# `--password-command 'echo S'`
_COMMAND = re.compile(
    r"--?[\w-]{0,40}(?:pass|secret|token)[\w-]{0,20}(?:command|cmd)=(?:echo|printf) +(?:-n +|'?%s'? +)?(.+)",
    re.S,
)
_GPG_OPTION = re.compile(
    r"--?(?:hidden-)?(?:encrypt|l?sign|recv|receive|send|delete|edit|export|default|trusted)-keys?"
)
_SECRET_KEYS = re.compile(r"--?(?:export|delete|list)-secret-(?:and-public-)?(?:sub)?keys?")
_GPG_KEY = re.compile(r"(?:0x)?(?:[0-9A-F]{8}|[0-9A-F]{16}|[0-9A-F]{40})")
_SHY = frozenset({"user's", "anybody's", "account's", "perhaps", "verb's"})
_PIN_OPTION = re.compile(r"--?(?:[a-z0-9]{1,20}[-_]){1,4}(?:pin|puk)[0-9]?", re.I)
_PIN = re.compile(r"[0-9]{4,12}")
_DATA = frozenset({"--value", "--data"})
_LOGIN_VERBS = frozenset({"login", "signin", "logon", "register"})
_LINKS = frozenset({"set", "=", ":", ":=", "is", "to"})
_SET_NAME = re.compile(r"[A-Za-z_][\w.-]{0,80}+", re.A)
_SETTERS = frozenset({"set", "put", "config", "config:set", "setenv", "--arg", "--argstr"})
_SET_PASSWORD = re.compile(r"set(?:[_-][a-z]++){0,3}", re.I)


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
    names_key: bool = field(default=False, init=False)
    person: str = field(default="", init=False)
    _is_about_login: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._is_about_login = any(map(_LOGIN_WORD.match, self.words[1:9]))

    def take(self, argument: str) -> str:
        shown = self._taken(argument)
        if _ABOUT_SECRETS.search(argument, 0, 80) and argument[:1] not in "/.~":
            self.is_about_secrets = True
        self.before = argument
        return shown

    def _taken(self, argument: str) -> str:
        person, self.person = self.person, ""
        if self._is_between(argument, person):
            return argument
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
        if argument[:1] == "/" and not self.in_prose:
            if shown := self._behind_colon(argument):
                return shown
            if self._is_slash_option(argument):
                self.awaiting = "secret"
                return argument
        if person and self._is_persons(argument):
            return self.hide("beside_login", argument)
        return self._operand(argument)

    def _is_between(self, argument: str, person: str) -> bool:
        """What stands between a name and its secret: `set_password bob S`, `pin set S`, `bob x.org S`."""
        is_last = argument is self.words[-1]
        if self.awaiting == "named" and is_person(argument):
            self.person = argument
        elif person and not is_last and is_place(argument):
            self.person = person
        elif self.awaiting == "named" and argument.lower() == "for":  # `SET PASSWORD FOR bob = 'S'`
            self.awaiting = ""
        else:
            return self.awaiting == "named" and argument in _LINKS
        return True

    def _operand(self, argument: str) -> str:
        if argument in self.options:  # pdftk's `user_pw`, signtool's `/p`
            self.awaiting = self.options[argument]
            return argument
        if self.name in ORACLE and (login := self._oracle(argument)):
            return login
        self.note_tool(argument)
        if self.before not in SHOWS and self._is_bare_name(argument.removeprefix("+")):
            self.awaiting, self.awaits_surely = "named", argument[0] == "+" or self._is_set(argument)
            return argument
        if self._note_person(argument):
            return argument
        if argument in VERBS and not self.in_prose and self.name not in READERS:
            self.awaiting = "verb's"
            return argument
        return self._text(argument)

    def _is_option(self, argument: str, manner: str) -> bool:
        """A value that looks like an option means that the option before it had none (it prompts)."""
        if manner in _SHY and argument.startswith("-"):
            return True
        if manner == "perhaps" and not login_in(argument, of_anybody=True):
            return True
        if manner in ("weak", "made") or not self.awaits_surely:
            self.awaits_surely = True
            is_pin = argument.isdigit() and 4 <= len(argument) <= 12 and manner == "named"
            is_likely = is_pin or looks_made(argument) or (manner == "weak" and self._is_phrase(argument))
            if argument.startswith("-") or not is_likely:
                return True
        return bool(_LONG_OPTION.fullmatch(argument)) or (
            argument[0] == "-" and (len(argument) == 2 or (argument[1:].isalpha() and argument.islower()))
        )

    def _is_phrase(self, value: str) -> bool:
        """The value of a name that says little, of a tool that nobody knows: with blanks, or a key's."""
        if not self._is_unknown() or _FILE.fullmatch(value) or value.isdigit():
            return False
        is_name = value.islower() or (value.isalpha() and is_readable(value))
        return " " in value or (self.before in ("--key", "-key") and not is_name)

    def _value(self, manner: str, value: str) -> str:
        if manner == "private key":
            if _FOLDERS.fullmatch(value) and is_readable(value):
                return value
            manner = "secret"
        if _KEPT_VALUE.fullmatch(value) or is_file(value) or (self.names_key and _FILE.fullmatch(value)):
            return value
        if _GPG_OPTION.fullmatch(self.before) and _GPG_KEY.fullmatch(value):
            return value
        if manner == "named" and value.lower() in SAID_OF_PASSWORDS:
            return value
        if is_choice(value) and manner != "cert":
            return value
        if manner in ("account's", "perhaps"):
            return self._account(value)
        if manner == "database's":
            return self._database(value)
        if manner == "cert":
            name, colon, secret = value.rpartition(":")
            is_given = colon and secret and len(name) > 1
            return f"{name}:{self.hide('tool_option', secret)}" if is_given else value
        if manner == "cookie" and "=" not in value:
            return value
        if not self._is_secret(manner, value):
            if manner == "verb's" and (not self._note_person(value) and self.before in _LOGIN_VERBS):
                self.person = value if self._is_unknown() and value.isalnum() else ""
            return self._text(value)
        return self.hide("option_value" if manner in ("secret", "named") else "tool_option", value)

    def _is_secret(self, manner: str, value: str) -> bool:
        """Tell whether what stands in a secret's place is one."""
        if manner == "verb's":
            return is_verbs_secret(self.before, value)
        if manner == "user's":
            return is_letters_password(value, of_user=True)
        if manner == "anybody's":
            is_sure = self.before == "-p" and self._is_unknown()
            is_likely = is_sure or is_issued_or_chosen(value) or not is_readable(value)
            return is_likely and is_letters_password(value, of_user=False)
        if manner == "pin":
            return _PIN.fullmatch(value) is not None
        if manner == "made":
            return not any(mark in value for mark in "/.:,@") and "=" not in value.rstrip("=")
        if manner == "login":
            return any(mark in value for mark in ":%,")
        return True

    def _database(self, value: str) -> str:
        """`--dsn bob/S@shop`, `-login bob:S`, and `-login bob S`."""
        login = slashed_login_in(value) or login_in(value, of_anybody=True)
        if login:
            return f"{login[0]}{self.hide('login', login[1])}{login[2]}"
        if self.before == "-login":
            self.person, self._is_about_login = value, True
        return self._text(value)

    def _option(self, argument: str) -> str:
        name, equals, value = argument.partition("=")
        self.names_key = name.lower().endswith(("key", "auth", "keys", "token", "secret"))
        if ":" in name and (shown := self._behind_colon(argument)):
            return shown
        if equals and value and len(name) < 200 and _OPTION.fullmatch(name):
            if shown := self._assigned(name, value):
                return shown
            if self._is_named(name):
                return argument
        if argument in self.options:
            self.awaiting = self.options[argument] if self.options[argument] != "attached" else ""
        elif argument[1] != "-" and (attached := self._attached(argument)):
            return attached
        elif len(argument) < 200 and _OPTION.fullmatch(argument):
            self.awaiting = self._awaited(argument)
        else:
            return self._text(argument)
        return argument

    def _assigned(self, name: str, value: str) -> str:
        """`--name=S`, if something of it is hidden."""
        if name in self.options:
            return f"{name}={self._value(self.options[name], value)}"
        is_data = name in _DATA and self.is_about_secrets and "=" not in value
        if is_data or (is_sensitive(name) and not self._is_named(name)):
            return f"{name}={self._value('secret', value)}"
        is_made = (is_suspicious(name) or self._is_named(name)) and looks_made(value)
        if is_made or (_PIN_OPTION.fullmatch(name) and _PIN.fullmatch(value)):
            return f"{name}={self.hide('option', value)}"
        is_made = self._may_have_issued(value, name) and is_issued(value, name)
        return f"{name}={self.hide('issued', value)}" if is_made else ""

    def _behind_colon(self, argument: str) -> str:
        """`-pwd:S` and `--token:S`, if something of it is hidden; `-auth-type:basic` has none."""
        name, _, value = argument.partition(":")
        is_slashed = _SLASH_OPTION.fullmatch(name) is not None  # `/login:bob,S` of Windows' tools
        if not value or value[0] in ":/" or len(name) > 60 or not (is_slashed or _OPTION.fullmatch(name)):
            return ""
        if is_slashed and LOGIN_NAMES.fullmatch(f"-{name[1:]}"):
            return f"{name}:{self._value('login', value)}"
        is_secret = is_sensitive(name) or name in _SLASHED_LETTERS
        is_secret = is_secret and self.name not in READERS
        return f"{name}:{self._value('secret', value)}" if is_secret else ""

    def _awaited(self, option: str) -> str:
        """How the word behind this option is read; nothing is awaited by most."""
        if _SECRET_KEYS.fullmatch(option):  # whose keys they are follows
            return ""
        is_cluster = 2 < len(option) < 5 or (len(option) == 5 and not option[1:].islower())  # no `-host`
        if option[1] != "-" and is_cluster and option[-1] in self.tool.letters:
            return self.options.get(f"-{option[-1]}", "")
        if is_sensitive(option) and not self._is_named(option):
            return "private key" if _PRIVATE_KEY.fullmatch(option) else "secret"
        if _PIN_OPTION.fullmatch(option):
            return "pin"
        if len(option) == 2 and option not in NUMBERED and self._is_about_pin():
            return "pin"
        if option in PASSWORD_LETTERS and self._may_be_letter():
            is_users = self._is_about_login or not USER_OPTIONS.isdisjoint(self.words[2:64])
            return "user's" if self.is_for_a_user or is_users else "anybody's"
        if option in USER_OPTIONS:
            self.is_for_a_user = True
            return "account's"
        if option in LOGIN_OPTIONS:
            return "perhaps"
        if option in _DATA and self.is_about_secrets:
            return "secret"
        if LOGIN_NAMES.fullmatch(option):
            return "database's"
        if is_suspicious(option) or self._is_named(option):
            return "weak"
        return "made" if self.is_about_secrets and self._is_unknown() and len(option) == 2 else ""

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
        if (
            not self.in_prose
            and argument[1].isalpha()
            and self._is_attached_secret(argument[:2], argument[2:])
        ):
            return argument[:2] + self.hide("chosen", argument[2:])
        return ""

    def _is_attached_secret(self, option: str, value: str) -> bool:
        is_hex = self.name not in READERS and is_issued(value, option)
        return is_hex or self._is_chosen(value)

    def _oracle(self, argument: str) -> str:
        """`user/password@database`; `/nolog`, `/@wallet` and `/ as sysdba` have none."""
        user, slash, rest = argument.partition("@")[0].partition("/")
        if not slash or not user or not rest or "." in user:
            return ""
        return f"{user}/{self.hide('tool_login', argument.partition('/')[2])}"

    def _account(self, value: str) -> str:
        """`-u bob:S` of a tool that nobody knows; `-u 1000:1000` and `-u app:web` name groups."""
        is_anybodys = self.name not in GROUPING and self.name not in READERS
        login = login_in(value, of_anybody=is_anybodys) if is_anybodys else None
        is_place = self.before in ("-l", "-a", "--as") and not is_person(value.partition(":")[0])
        if login and not is_file(login[1]) and not (is_place and is_readable(login[1])):
            return f"{login[0]}{self.hide('login', login[1])}{login[2]}"
        self.person = value if ABOUT_LOGIN.search(self.name) else ""
        return self._text(value)

    def _note_person(self, word: str) -> bool:
        """Remember whom `login bob S` is about."""
        is_options = self.before[:1] == "-" and self.before not in USER_OPTIONS
        is_somebody = (is_person(word) and not is_options) or (is_email(word) and self._is_about_login)
        if self.in_prose or not is_somebody:
            return False
        self.person = word
        return True

    def _is_persons(self, value: str) -> bool:
        """A word behind a person's name: `login bob S`, `./deploy.sh prod bob S`."""
        if self.name in NAMING_PEOPLE or self.name in READERS or self.name in CARRIERS - LANGUAGES:
            return False
        if not (self._is_unknown() or self.name in LANGUAGES or self._is_about_login):
            return False
        if len(value) < 4 or value[0] in "-/.~{$%<>@*[(" or "://" in value:
            return False
        if is_place(value) and is_readable(value):  # `openconnect --user bob vpn.example.org`
            return False
        if value in VERBS or (is_wordlike(value.rstrip("=:")) and is_sensitive(value)):
            return False
        return self._is_about_login or not is_wordlike(value) or value is self.words[-1]

    def _is_console(self, text: str) -> bool:
        """A tool's own commands: `manager set secret bob S`, `am broadcast --es password S`."""
        words = text[:400].split()
        if self.name in READERS or not words:
            return False
        if words[0] in ("login", "connect", "auth"):
            return True
        if not all(word.isalpha() and word.islower() for word in words[:2]):
            return False
        is_about_person = len(words) > 2 and is_person(words[-2]) and _ABOUT_SECRETS.search(text, 0, 400)
        return bool(is_about_person) or any(word[:2] == "--" and word[2:3].isalpha() for word in words)

    def _may_be_letter(self) -> bool:
        """Tell whether `-p` may have a password: of a tool without options in the table."""
        is_run_as = self.is_for_a_user and self.name in RUN_AS
        is_plain = is_run_as or self.name in READERS or self.name in PLAIN_LETTERS
        return (not self.options or self.name in LANGUAGES) and not is_plain

    def _is_about_pin(self) -> bool:
        return self._is_unknown() and not PIN_WORDS.isdisjoint(self.words[1:9])

    def _may_have_issued(self, value: str, named: str) -> bool:
        """Tell whether hex may be a key: of an unknown tool, an option's value or 32 digits of others.

        Unannounced it hardly ever is: containers, jobs, nodes, disks, checksums look so.
        """
        if self.in_prose or not (self.is_about_secrets or is_telling(named)):
            return False
        if self._is_unknown() or self.name in LANGUAGES:
            return True
        is_due = (self.before[:1] == "-" or len(value) == 32) and "-" not in value
        return is_due and self.tool is not _NO_TOOL and self.name not in CARRIERS | NAMING

    def _may_be_judged(self) -> bool:
        return not any(self.name in names for names in (READERS, INSTALLERS, NAMING_PEOPLE))

    def _is_unknown(self) -> bool:
        if self.in_prose or self.tool is not _NO_TOOL:
            return False
        return not any(self.name in names for names in (READERS, CARRIERS, ORACLE, PLAIN_LETTERS))

    def _is_slash_option(self, argument: str) -> bool:
        """`/password S` of Windows' tools."""
        is_data = (argument == "/d" and self.is_about_secrets) or (
            argument == "/p" and "/u" in self.words[1:64]
        )
        if self.name in READERS or argument in self.options:
            return False
        return is_data or (_SLASH_OPTION.fullmatch(argument) is not None and is_sensitive(argument))

    def _is_named(self, option: str) -> bool:
        """`--secret NAME` of a tool that keeps secrets under names."""
        return self.name in NAMING and option.strip("-") in ("secret", "secret-id", "secrets", "secret-name")

    def _is_set(self, name: str) -> bool:
        """`config set DB_PASSWORD S` and `set-initial-password S`: a value follows, whatever its look."""
        if name.isupper() and "_" in name and not self.before.startswith("-"):  # `set-env app DB_PASS S`
            return True
        if name == "passwd" and self.before.lower() not in _SETTERS:  # `homectl passwd bob`
            return False
        is_verb = len(name) < 60 and _SET_PASSWORD.fullmatch(name) is not None
        return name.lower().endswith(_SURE_NAMES) or self.before.lower() in _SETTERS or is_verb

    def _is_bare_name(self, argument: str) -> bool:
        if self.name in READERS or (self.in_prose and self.name not in BARE_NAMED):
            return False
        if self.before.lower() in _SETTERS and _SET_NAME.fullmatch(argument) and is_sensitive(argument):
            return True
        return len(argument) < 260 and bool(_BARE_NAME.fullmatch(argument)) and is_sensitive(argument)

    def _text(self, argument: str) -> str:
        if self.in_prose:  # the text that these words stand in is read as one
            return argument
        if " " in argument and (shown := self._script(argument)):
            return shown
        if self.name not in READERS and (shown := hide_in_word(argument, self.name, self.hide)) != argument:
            return self.read_text(shown)
        if self._may_have_issued(argument, self.before) and is_issued(argument, self.before):
            return self.hide("issued", argument)
        if " " in argument and self._may_be_judged() and is_nonsense(argument):
            return self.hide("made_up", argument)
        if self.is_about_secrets and (valued := _VALUED.fullmatch(argument)):
            return valued[1] + self._value("secret", valued[2])
        if (tail := _ISSUED_TAIL.fullmatch(argument)) and self.name not in READERS:
            return (tail[1] or tail[3]) + self.hide("issued", tail[2] or tail[4])
        if self.before in PUBLIC:
            return argument
        if self.before in _BODIES and len(argument) > 5 and _JSON_STRING.fullmatch(argument):
            return f'"{self.hide("body", argument[1:-1])}"'
        shown = self.read_text(hide_whole_value(argument, self.hide))
        if self._is_chosen(shown):
            return self.hide("chosen", shown)
        if not self._may_be_judged() or HIDDEN in argument:
            return shown
        if self.before[:1] == "-" and _NAME.fullmatch(argument) and names_thing(self.before):
            return shown
        return _PART.sub(self._without_made_up, shown)

    def _without_made_up(self, found: re.Match[str]) -> str:
        """One part of a word or of a text: `S`, `name=S`, `name:S`, `f('S')`."""
        begin = max(0, found.start() - 1)
        named = found.string[max(0, begin - 40) : begin] if found.string[begin] == "=" else ""
        is_made = is_made_up(found[0], _LEAST_BITS)
        is_kept = not is_made or names_thing(named) or _IN_QUERY.search(found.string, 0, found.start())
        return found[0] if is_kept else self.hide("made_up", found[0])

    def _script(self, text: str) -> str:
        """A text that is a command line of its own, or that has one: read as a shell reads it."""
        if found := _COMMAND.fullmatch(text if text[0] == "-" else f"{self.before}={text}"):
            return text.removesuffix(found[1]) + self.hide("piped", found[1])
        name, _equals, value = text.partition("=")
        if " " not in name and is_command_line(value):  # `-o "ProxyCommand=sshpass -p S ssh h"`
            return f"{name}={self.read_script(value)}"
        if options := _OPTIONS_INSIDE.fullmatch(text):
            return options[1] + self.read_script(f"app {options[2]}").removeprefix("app ")
        is_script = self.name in TAKES_SCRIPT or is_command_line(text) or self._is_console(text)
        return self.read_script(text) if is_script else ""

    def _is_chosen(self, argument: str) -> bool:
        if self.name in READERS or HIDDEN in argument or not _NO_WORD.isdisjoint(argument):
            return False
        if says_id(self.before) or is_kept(argument):
            return False
        return looks_chosen(argument, 1 if self.is_about_secrets else 3) and not is_wordlike(argument)

    def note_tool(self, argument: str) -> None:
        """Remember what the options that follow mean, if this word is the name of a tool."""
        name = tool_name(argument) if not (self.name and argument.isupper()) else ""
        self.may_switch = self.may_switch or self.before in _RUNNING_OPTIONS
        if self.name in RUNNERS and name not in CARRIERS and name not in TOOLS and name not in READERS:
            if _PROGRAM.fullmatch(argument) and not is_person(argument):
                self.name = name
            return
        if not self.may_switch or not (
            name in TOOLS or name in CARRIERS or name in READERS or name in ORACLE or not self.name
        ):
            return
        if self.name and (name in READERS or (name in NAMING_PEOPLE and self.name not in CARRIERS)):
            return
        self.name, self.tool = name or "?", TOOLS.get(name, _NO_TOOL)
        self.options = dict(self.tool.options)
        for verb, options in self.tool.with_verb.items():
            if verb in self.words[:64]:
                self.options.update(options)
        is_known = name in TOOLS or name in READERS or name in ORACLE
        self.may_switch = name in CARRIERS or not is_known
        self.is_for_a_user = False
        self.is_about_secrets = self.is_about_secrets or _ABOUT_SECRETS.search(self.name) is not None
