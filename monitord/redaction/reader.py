"""Walks over the arguments of a command and hides those that are secret by what stands before them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from monitord.redaction.logins import GROUPING, NAMING_PEOPLE, is_email, is_person, login_in, slashed_login_in
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
    r"[A-Za-z]++(?:[_-][A-Za-z]++)++|//[^\s:]{1,200}+:_[A-Za-z]{1,40}+|(?:[a-z0-9_-]{1,40}\.){1,6}[a-z_-]{1,40}+",
    re.I,
)
_SURE_NAMES = ("password", "passwd", "passphrase", "requirepass", "masterauth", ".psk")
_FILE = re.compile(r"(?:~?/|\.{1,2}/)[\w./@+~-]{2,}+|[\w./-]{1,200}\.(?:pem|key|crt|cer|json|p12|jks|pub|der|pfx|txt|asc)")
_KEPT_VALUE = re.compile(r"(?:file|env|fd|stdin|prompt|keyring)(?::.*)?", re.S)
_LONG_WORDS = frozenset(
    {"-password", "-passwd", "-passphrase", "-pass", "-pwd", "-pw", "-pin", "-key", "-user"}
)
_PASSWORD_LETTERS = frozenset({"-p", "-P", "-w", "-W", "-k", "-K"})  # of a tool that nobody knows
_USER_OPTIONS = frozenset({"-u", "-U", "-l", "-a", "--user", "--username", "--login-user", "--login", "--auth",
                           "--basic-auth", "--proxy-user", "--cred", "--creds", "--credentials", "--as"})  # fmt: skip
_ABOUT_SECRETS = re.compile(
    r"(?i)pass(?!ive|es|enger|age)|pwd|secret|credential|\bauth|authkey|_auth|login|token|secure|\bpw\b|^-[uU]$|user"
)
_NO_PASSWORD = re.compile(r"[0-9:,.-]*+|[/~.].*|[0-9]+:.*|[A-Za-z][\w.-]{0,60}+=.*|true|false", re.S)
_ISSUED = re.compile(
    r"(?:[0-9a-f]{12,}+|[0-9A-F]{12,}+|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
)
_RUNNERS = frozenset({"-exec", "-execdir", "-ok", "--exec"})
_SLASH_OPTION = re.compile(r"/[A-Za-z]{2,40}+")
_LOGIN_OPTION = re.compile(
    r"--?(?:[a-z0-9]{1,20}[-_]){0,4}(?:login|logon|dsn|userid|conn|connect|connection|account|cred|creds|credentials?|auth)", re.I
)
_ENVIRONMENT = re.compile(r"([A-Z][A-Z0-9_]{2,60}+)=([A-Za-z0-9+/_.=~!-]{20,200}+)")
_NAMES_THING = re.compile(r"(?:^|_)(?:ID|UUID|GUID|SHA\d*|COMMIT|HASH|REV|REVISION|DIGEST|TRACE|BUILD|VERSION|TAG|PATH|DIR|FILE|HOME|IMAGE|NAME|URL|URI|HOST|ADDRESS|COOKIE_FILE|SOCK|FLAGS|OPTS)\d?(?:_|$)")
_BODIES = frozenset({"-d", "--data", "--data-raw", "--data-binary", "--body"})
_JSON_STRING = re.compile(r'"[^"\s\\]{1,200}+"')
_SET_NAME = re.compile(r"[A-Za-z_][\w.-]{0,80}+", re.A)
_SETTERS = frozenset({"set", "put", "config", "config:set", "setenv"})
_SET_PASSWORD = re.compile(r"set(?:[_-][a-z]++){0,3}+", re.I)
_VERBS_OF_TOKENS = frozenset(
    {"token", "auth", "authenticate", "login", "activate", "authkey", "attach", "claim", "pair", "enroll",
     "register", "join", "connect", "unlock", "unseal", "signin", "activationkey", "decrypt"}
)  # fmt: skip
_VERBS_OF_SECRETS = frozenset({"authenticate", "unseal", "unlock"})
_VERBS_OF_LOGIN = frozenset(
    {"login", "auth", "signin", "connect", "register", "authenticate", "passwd", "password", "user:create", "useradd",
     "adduser", "add-user", "user-add", "create-user", "create_user", "add_user", "setpw", "resetpw", "chpw"}
)  # fmt: skip
# Interpreters and what else only carries a program that nobody knows.
_LANGUAGES = frozenset(
    {"python", "python3", "pypy", "node", "ruby", "perl", "php", "java", "npx", "rails", "bundle", "pwsh", "powershell",
     "?"}
)  # fmt: skip
# Of these a letter of `_PASSWORD_LETTERS` has another meaning, and a word is its value.
_PLAIN_LETTERS = frozenset(
    {"cargo", "sbatch", "srun", "salloc", "squeue", "gradle", "gradlew", "mvn", "mvnw", "cp", "ps", "lsof", "netstat",
     "ss", "nmap", "iptables", "ip6tables", "nc", "ncat", "ping", "tcpdump", "tshark", "gunicorn", "celery", "npm",
     "pnpm", "yarn", "pytest", "tox", "nox", "protoc", "pm2", "psql", "pg_ctl", "pg_dump", "createdb", "terraform",
     "terragrunt", "unzip", "qemu-img", "column", "vmstat", "iostat", "sar", "top", "htop", "screen", "scp", "rsync",
     "sftp", "check_disk", "check_procs", "haproxy", "agetty", "bazel", "buck", "ninja", "meson", "west", "idf.py",
     "pio", "platformio", "colcon", "catkin", "ros2", "mpirun", "mpiexec", "qsub", "bsub", "yosys", "ffmpeg", "convert",
     "dpkg-buildpackage", "adb", "fastboot", "kill", "trap", "read", "tail", "parted", "sfdisk", "cloudctl", "gcloud",
     "aws", "az", "terraform-docs", "sam", "serverless", "cdk", "amplify", "eb", "trivy", "nerdctl", "crictl", "k9s",
     "gzip", "pigz", "xz", "bzip2", "zstd", "tee", "ltrace", "bpftrace", "perf", "stress-ng", "fio", "wrk", "ab", "siege",
     "k6", "rabbitmqctl", "nginx", "postfix", "postmap", "exim", "named", "unbound", "dnsmasq", "ntpd", "chronyd"}
)  # fmt: skip
_PLAIN_WORD = re.compile(
    r"tcp|udp|icmp|https?|ftp|ssh|prod\w{0,6}|dev\w{0,8}|stag\w{0,4}|test\w{0,3}|main|master|default|local|debug|release"
    r"|gpu|cpu|high|low|all|none|[\w-]{1,60}\.[a-z][a-z0-9]{0,4}|[0-9].*|\w{1,3}",
    re.S,
)
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
    names_key: bool = field(default=False, init=False)
    person: str = field(default="", init=False)
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
        person, self.person = self.person, ""
        if self.awaiting == "named" and is_person(argument):  # `set_password bob S`
            self.person = argument
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
        if argument[:1] == "/" and not self.in_prose and self._is_slash_option(argument):
            self.awaiting = "secret"
            return argument
        if person and self._is_persons(argument):
            return self.hide("beside_login", argument)
        if argument in self.options:  # pdftk's `user_pw`, signtool's `/p`
            self.awaiting = self.options[argument]
            return argument
        if self.name in ORACLE and (login := self._oracle(argument)):
            return login
        self.note_tool(argument)
        if self._is_bare_name(argument):
            self.awaiting, self.awaits_surely = "named", self._is_set(argument)
            return argument
        if not self.in_prose and (is_person(argument) or (is_email(argument) and self._verbs & _VERBS_OF_LOGIN)):
            self.person = argument
            return argument
        if argument in _VERBS_OF_TOKENS and not self.in_prose and self.name not in READERS:
            self.awaiting = "verb's"
            return argument
        return self._text(argument)

    def _is_option(self, argument: str, manner: str) -> bool:
        """A value that looks like an option means that the option before it had none (it prompts)."""
        if manner in ("user's", "anybody's", "account's", "verb's") and argument.startswith("-"):
            return True
        if manner == "perhaps" and (argument.startswith("-") or not login_in(argument, of_anybody=True)):
            return True
        if manner in ("weak", "made") or not self.awaits_surely:
            self.awaits_surely = True
            is_pin = argument.isdigit() and 4 <= len(argument) <= 12 and manner == "named"
            if argument.startswith("-") or not (is_pin or looks_made(argument)):
                return True
        return bool(_LONG_OPTION.fullmatch(argument)) or (argument[0] == "-" and len(argument) == 2)

    def _value(self, manner: str, value: str) -> str:
        manner = "secret" if manner == "named" else manner
        if _KEPT_VALUE.fullmatch(value) or (self.names_key and _FILE.fullmatch(value)):
            return value
        if is_choice(value) and manner != "cert":
            return value
        if manner == "verb's" and not self._is_verbs(value):
            self.note_person(value)
            return self._text(value)
        if manner in ("user's", "anybody's") and (_NO_PASSWORD.fullmatch(value) or len(value) < 4):
            return self._text(value)
        if manner == "anybody's" and self._is_unknown() and not _PLAIN_WORD.fullmatch(value):
            return self.hide("letter", value)
        if manner in ("account's", "perhaps"):
            return self._account(value)
        if manner == "anybody's" and not looks_chosen(value, 1) and not _ISSUED.fullmatch(value):
            return self._text(value)
        if manner == "database's":
            login = slashed_login_in(value) or login_in(value, of_anybody=True)
            return f"{login[0]}{self.hide('login', login[1])}{login[2]}" if login else self._text(value)
        if manner == "made" and any(mark in value for mark in "/.:,@"):
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
        self.names_key = name.lower().endswith(("key", "auth", "keys", "token", "secret"))
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
            elif argument in _USER_OPTIONS:
                self.is_for_a_user = self.is_for_a_user or argument not in ("-a", "-l")
                self.awaiting = "account's" if argument not in ("-a", "-l") else "perhaps"
            elif argument in ("--value", "--data") and self.is_about_secrets:
                self.awaiting = "secret"
            elif _LOGIN_OPTION.fullmatch(argument):
                self.awaiting = "database's"
            elif is_suspicious(argument) or self._is_named(argument):
                self.awaiting = "weak"
            elif self.is_about_secrets and self._is_unknown() and len(argument) == 2:
                self.awaiting = "made"
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
        is_anybodys = self.name not in GROUPING and self.name not in READERS
        login = login_in(value, of_anybody=is_anybodys) if is_anybodys else None
        return f"{login[0]}{self.hide('login', login[1])}{login[2]}" if login else self._text(value)

    def note_person(self, word: str) -> None:
        """Remember whom `login bob S` is about."""
        if not self.in_prose and (is_person(word) or is_email(word)):
            self.person = word

    def _is_persons(self, value: str) -> bool:
        """A word behind a person's name: `login bob S`, `./deploy.sh prod bob S`."""
        is_unknown = self._is_unknown() or self.name in _LANGUAGES or bool(self._verbs & _VERBS_OF_LOGIN)
        if is_sensitive(value) or self.name in CARRIERS - _LANGUAGES or self.name in READERS:
            return False
        if not is_unknown or self.name in NAMING_PEOPLE or len(value) < 4 or value[0] in "-/.~{$%<>@*[(":
            return False
        if self._verbs & _VERBS_OF_LOGIN or not is_wordlike(value):
            return "/" not in value[:2] and "://" not in value
        return value is self.words[-1]

    def _is_verbs(self, value: str) -> bool:
        """`authenticate S`, and `login S` if S looks made."""
        if any(mark in value for mark in "/:=@,<>|; "):
            return self.before in _VERBS_OF_SECRETS and " " in value
        return (looks_made(value) and "." not in value) or (self.before in _VERBS_OF_SECRETS and len(value) > 3)

    def _is_console(self, text: str) -> bool:
        """A tool's own commands: `manager set secret bob S`, `am broadcast --es password S`."""
        words = text[:400].split()
        if not all(word.isalpha() and word.islower() for word in words[:2]):
            return False
        is_about_person = len(words) > 2 and is_person(words[-2]) and _ABOUT_SECRETS.search(text, 0, 400)
        return bool(is_about_person) or any(word[:2] == "--" and word[2:3].isalpha() for word in words)

    def _is_unknown(self) -> bool:
        return (
            self.tool is _NO_TOOL
            and not self.in_prose
            and self.name not in READERS
            and self.name not in CARRIERS
            and self.name not in ORACLE
            and self.name not in _PLAIN_LETTERS
        )

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
        if " " in argument and (
            self.name in _TAKES_SCRIPT
            or is_command_line(argument)
            or argument.partition(" ")[0] in _VERBS_OF_LOGIN
            or (self.name not in READERS and self._is_console(argument))
        ):
            return self.read_script(argument)
        if self.name not in READERS and (login := login_in(argument, of_anybody=False)):
            return f"{login[0]}{self.hide('login', login[1])}{login[2]}"
        if (
            (assigned := _ENVIRONMENT.fullmatch(argument))
            and not _NAMES_THING.search(assigned[1])
            and (_ISSUED.fullmatch(assigned[2]) or looks_chosen(assigned[2]))
        ):
            return f"{assigned[1]}={self.hide('environment', assigned[2])}"
        if self.before in _BODIES and len(argument) > 5 and _JSON_STRING.fullmatch(argument):
            return f'"{self.hide("body", argument[1:-1])}"'
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
        self.may_switch = self.may_switch or self.before in _RUNNERS
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
