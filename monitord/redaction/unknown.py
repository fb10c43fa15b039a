"""Tools that nobody knows: which of their letters, verbs and words hold a secret, and which never do."""

from __future__ import annotations

import re

from monitord.redaction.words import is_readable, looks_chosen, looks_made

PASSWORD_LETTERS = frozenset({"-p", "-P", "-w", "-W", "-k", "-K"})
USER_OPTIONS = frozenset({"-u", "-U", "--user", "--username", "--login-user"})
LOGIN_OPTIONS = frozenset(  # those of a login, or of something else
    {"-l", "-a", "--login", "--auth", "--basic-auth", "--proxy-user", "--cred", "--creds", "--credentials",
     "--as"}
)  # fmt: skip
LOGIN_NAMES = re.compile(
    r"--?(?:[a-z0-9]{1,20}[-_]){0,4}"
    r"(?:login|logon|dsn|userid|conn|connect|connection|account|cred|creds|credentials?|auth)",
    re.I,
)
VERBS = frozenset(  # `login S`
    {"token", "auth", "authenticate", "login", "activate", "authkey", "attach", "claim", "pair", "enroll",
     "register", "join", "connect", "unlock", "unseal", "signin", "activationkey", "decrypt"}
)  # fmt: skip
SURE_VERBS = frozenset({"authenticate", "unseal", "unlock"})
RUN_AS = frozenset({"sudo", "doas", "docker", "podman", "nerdctl", "ssh", "psql", "runuser", "kubectl"})
# Interpreters and what else only carries a program that nobody knows.
LANGUAGES = frozenset(
    {"python", "python3", "pypy", "node", "ruby", "perl", "php", "java", "npx", "rails", "bundle", "pwsh",
     "powershell", "?"}
)  # fmt: skip
# Behind these stands the program that is run, whatever its name.
RUNNERS = frozenset(
    {"sudo", "doas", "env", "nohup", "time", "timeout", "nice", "ionice", "setsid", "stdbuf", "exec",
     "taskset", "gosu", "su-exec", "chronic", "tini", "dumb-init", "catatonit", "command",
     "start-stop-daemon", "setpriv"}
)  # fmt: skip
# Of these a letter of `PASSWORD_LETTERS` has another meaning, and a word is its value.
PLAIN_LETTERS = frozenset(
    {"cargo", "sbatch", "srun", "salloc", "squeue", "gradle", "gradlew", "mvn", "mvnw", "cp", "ps", "lsof",
     "netstat", "ss", "nmap", "iptables", "ip6tables", "nc", "ncat", "ping", "tcpdump", "tshark", "gunicorn",
     "celery", "npm", "pnpm", "yarn", "pytest", "tox", "nox", "protoc", "pm2", "psql", "pg_ctl", "pg_dump",
     "createdb", "terraform", "terragrunt", "unzip", "qemu-img", "column", "vmstat", "iostat", "sar", "top",
     "htop", "screen", "scp", "rsync", "sftp", "check_disk", "check_procs", "haproxy", "agetty", "bazel",
     "buck", "ninja", "meson", "west", "idf.py", "pio", "platformio", "colcon", "catkin", "ros2", "mpirun",
     "mpiexec", "qsub", "bsub", "yosys", "ffmpeg", "convert", "dpkg-buildpackage", "adb", "fastboot", "kill",
     "trap", "read", "tail", "parted", "sfdisk", "gcloud", "aws", "az", "sam", "serverless", "cdk", "amplify",
     "eb", "trivy", "nerdctl", "crictl", "k9s", "gzip", "pigz", "xz", "bzip2", "zstd", "tee", "ltrace",
     "bpftrace", "perf", "stress-ng", "fio", "wrk", "ab", "siege", "k6", "rabbitmqctl", "nginx", "postfix",
     "postmap", "exim", "named", "unbound", "dnsmasq", "ntpd", "chronyd", "loginctl", "busctl",
     "minikube", "avrdude", "lpadmin", "lpoptions", "lpr", "lpq", "declare", "complete", "ifdata"}
)  # fmt: skip
INSTALLERS = frozenset(  # whose operands are names of packages
    {"pip", "pip3", "pipx", "uv", "poetry", "conda", "npm", "npx", "pnpm", "yarn", "bun", "cargo", "gem",
     "composer", "go", "apk", "snap", "flatpak", "opam", "luarocks", "cpan", "winget", "choco"}
)  # fmt: skip
# Behind these a name follows: `get password mail`, or a key that everybody may know.
SHOWS = frozenset(
    {"get", "show", "describe", "delete", "list", "inspect", "rm", "lookup", "edit", "view", "find"}
)
# `door unlock -c 4711`; of these letters a number is a port, a count or a time.
PIN_WORDS = frozenset(
    {"pin", "puk", "unlock", "otp", "mfa", "2fa", "passcode", "disarm", "pair", "door", "alarm"}
)
NUMBERED = frozenset({"-p", "-P", "-n", "-t", "-w", "-b", "-j"})
PUBLIC = frozenset({"peer", "pubkey", "public-key", "--public-key", "--peer"})
SAID_OF_PASSWORDS = frozenset(
    {"expires", "expired", "expiry", "policy", "policies", "reset", "change", "changed", "required",
     "rotation", "manager", "hint", "prompt", "protected", "incorrect", "invalid", "authentication",
     "hashing", "strength", "generator"}
)  # fmt: skip
_PLAIN_WORD = re.compile(
    r"tcp|udp|icmp|https?|ftp|ssh|prod\w{0,6}|dev\w{0,8}|stag\w{0,4}|test\w{0,3}|main|master|default|local"
    r"|debug|release|gpu|cpu|high|low|all|none|[\w-]{1,60}\.[a-z][a-z0-9]{0,4}|[0-9].*|\w{1,3}",
    re.S,
)
_NO_PASSWORD = re.compile(
    r"[0-9:,.-]*+|[/~.].*|\{.*\}|\[.*\]|[0-9]+:.*|[A-Za-z][\w.-]{0,60}+=.*|true|false", re.S
)
_MADE = re.compile(
    r"[0-9a-f]{20,}+|[0-9A-F]{20,}+|[A-Z2-7]{20,}+|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
)
_SAYS_ID = re.compile(
    r"(?i)(?<!ss)(?<!app)id(?:s|entifier)?$|id[-_=]|sha|md5|wwid|commit|rev|hash|digest|checksum|uuid|guid|trace|build|ref|version|tag"
    r"|name|image|disk|serial|finger|thumb|address|node|file|path|object|container|pod|volume|snapshot|^-[nioU]$"
)
# Names of what people and machines call in letters that read like no word.
_NAMES_THING = re.compile(
    r"(?i)host|user|team|group|bucket|branch|cluster|region|country|city|street|zone|topic|queue|cipher|curve|locale|lang"
    r"|interface|device|driver|printer|codec|pix|format|font|theme|model|class|environment|namespace|database|schema|table"
    r"|profile|project|package|module|plugin|type|symbol|gene|^-[hdfgl]$"
)
_TELLING = re.compile(
    r"(?i)(?<!pub)(?<!public-)key(?!s|-?server|-?ring)|appid|claim|pair|licen[sc]e|regist|enroll|join|activat|invite|code"
)  # of options of tools that nobody knows
_ISSUED = re.compile(
    r"(?:[0-9a-f]{12,}+|[0-9A-F]{12,}+|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
)
_LARGEST_PORT = 65_535


def is_letters_password(value: str, *, of_user: bool) -> bool:
    """Tell whether the value of `-p` is a password: no port, path or number, nor a plain word."""
    if value.isdigit():
        return of_user and (len(value) >= 6 or int(value) > _LARGEST_PORT)
    if len(value) < 4 or _NO_PASSWORD.fullmatch(value) or ("/" in value and is_readable(value)):
        return False
    return of_user or is_issued_or_chosen(value) or _PLAIN_WORD.fullmatch(value) is None


def is_verbs_secret(verb: str, value: str) -> bool:
    """Tell whether the word behind a verb is its secret: `unlock S`, and `login S` if S looks made."""
    if any(mark in value for mark in "/:=@,<>|; "):
        return verb in SURE_VERBS and " " in value
    if value.isdigit():
        return len(value) >= 6
    return (looks_made(value) and "." not in value) or (verb in SURE_VERBS and len(value) > 3)


def is_issued(value: str, named: str) -> bool:
    """Tell whether a machine made this word to be secret: no name that stands before it says "id"."""
    if not 20 <= len(value) <= 200 or says_id(named):
        return False
    return bool(_MADE.fullmatch(value)) and any(map(str.isdigit, value)) and not value.isdigit()


def says_id(named: str) -> bool:
    """Tell whether a name before a word says that it identifies something."""
    return _SAYS_ID.search(named, 0, 60) is not None


def is_telling(option: str) -> bool:
    """Tell whether an option announces what a machine made to be secret."""
    return bool(_TELLING.search(option, 0, 60))


def names_thing(option: str) -> bool:
    """Tell whether an option or a key has a name as its value, in whatever letters."""
    return bool(_SAYS_ID.search(option, 0, 60) or _NAMES_THING.search(option, 0, 60))


def is_issued_or_chosen(value: str, *, least: int = 1) -> bool:
    """Tell whether a word is hex, a UUID or looks like a password."""
    return _ISSUED.fullmatch(value) is not None or looks_chosen(value, least)
