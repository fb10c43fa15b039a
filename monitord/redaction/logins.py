"""Secrets beside the name of a person (`login bob S`, `admin%S`), and what a word's own form gives away."""

from __future__ import annotations

import re

from monitord.redaction.made_up import is_made_up
from monitord.redaction.unknown import is_issued, is_issued_or_chosen
from monitord.redaction.words import HIDDEN, Hide, is_sensitive, looks_chosen

# Accounts that are people's or an administrator's; `app`, `user` and `test` are words of too many commands.
_PEOPLE = frozenset(
    {"admin", "administrator", "root", "sa", "sys", "system", "superuser", "sysadmin", "operator", "bob",
     "alice", "carol", "dave", "eve", "mallory", "trent", "john", "jane", "jdoe", "johndoe", "janedoe",
     "joe", "jim", "anna", "peter", "paul", "maria", "max", "erika", "tom", "mike", "mary", "susan",
     "frank", "hans", "klaus", "scott", "guest", "kubeadmin", "ops", "devops", "dba", "sysop",
     "webmaster", "ubnt", "pi", "ec2-user", "svc"}
)  # fmt: skip
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}", re.A)
_DOMAIN = re.compile(r"(?:[A-Za-z][\w.-]{0,40}[\\/])?([A-Za-z][\w.-]{0,40})", re.A)
_TASK_NAME = re.compile(  # `add-user:dev` names a task, and its kind
    r"(?:add|new|set|del|create|delete|remove|drop|get|list|show)[-_](?:admin|adm|svc|user)\Z"
)
_SERVICE = re.compile(
    rf"(?:svc|srv|usr|adm)[-_.]?[a-z0-9]{{1,20}}|(?!{_TASK_NAME.pattern})[a-z]{{1,20}}[-_](?:admin|adm|svc|user)"
)
_LOGIN = re.compile(
    r"((?::[a-z]{3,12}:)?(?:[A-Za-z][\w.-]{0,40}[\\/])?[A-Za-z][\w.-]{0,40}[:%])([^\s].*?)(@[\w.\[\]-]{1,253}(?::.*)?)?",
    re.S,
)
_NO_SECRET = re.compile(r"[0-9]{1,5}|[/~.{$%<>*@-].*|(?:[A-Za-z]:)?[\\/].*|\**", re.S)
# `-u bob:staff` of these names a group.
GROUPING = frozenset(
    {"docker", "podman", "nerdctl", "docker-compose", "chown", "install", "rsync", "setpriv",
     "systemd-run", "gosu", "su-exec", "chroot", "chpst", "start-stop-daemon", "uwsgi", "unshare",
     "kubectl", "setfacl", "supervisord", "buildah", "tar", "cpio", "s6-setuidgid", "setuidgid", "bwrap"}
)  # fmt: skip
# To these a person is somebody to run as, to look for or to change.
NAMING_PEOPLE = frozenset(
    {"useradd", "usermod", "userdel", "adduser", "deluser", "addgroup", "gpasswd", "groupadd", "groupmod",
     "chage", "passwd", "id", "groups", "finger", "who", "w", "last", "lastlog", "getent", "chfn", "chsh",
     "rlogin", "su", "sudo", "gosu", "runuser", "su-exec", "setpriv", "s6-setuidgid", "setuidgid", "chpst",
     "loginctl", "pkill", "pgrep", "killall", "quota", "edquota", "setquota", "repquota", "crontab",
     "setfacl", "newgrp", "login", "write", "talk", "mail", "mailx", "mutt", "machinectl", "ps", "lsof",
     "htop", "top", "createuser", "dropuser", "createdb", "dropdb"}
)  # fmt: skip


def is_person(word: str) -> bool:
    """Tell whether a word names an account, as `bob`, `CORP\\bob` or `svc_backup` do."""
    found = _DOMAIN.fullmatch(word) if len(word) < 90 else None
    return found is not None and (
        found[1].lower() in _PEOPLE or _SERVICE.fullmatch(found[1].lower()) is not None
    )


def is_email(word: str) -> bool:
    return len(word) < 200 and _EMAIL.fullmatch(word) is not None


_SLASHED = re.compile(r"([A-Za-z][\w.$-]{0,40}/)([^/@\s][^/@]{2,200})(@.*)?", re.S)


ABOUT_LOGIN = re.compile(
    r"(?i)(?:log|sign)-?(?:in|on)|auth|passw|register|credential|connect|chpw|setpw|resetpw"
    r"|(?:create|add|new|make|set|reset|change|mod)[-_:.]?\w{0,10}(?:user|admin|account|member)"
    r"|(?:user|admin|account)s?[-_:.](?:create|add|new|set|mod|register)"
)
_HOST = re.compile(r"(?:[\w-]{1,63}\.){1,6}[a-z]{1,12}(?::[0-9]{1,5})?|localhost", re.A)


def is_place(word: str) -> bool:
    """Tell whether a word behind a person's is the domain or the address, before the secret."""
    return is_email(word) or (len(word) < 200 and _HOST.fullmatch(word) is not None)


def slashed_login_in(word: str) -> tuple[str, str, str] | None:
    """Likewise of `bob/S` and `bob/S@database`."""
    found = _SLASHED.fullmatch(word) if len(word) <= 4096 else None
    return (found[1], found[2], found[3] or "") if found else None


def login_in(word: str, *, of_anybody: bool) -> tuple[str, str, str] | None:
    """What stands before the secret in `bob:S`, the secret, and what stands behind it.

    `of_anybody`: an option said that this is a login; else the name must be known as a person's.
    """
    found = _LOGIN.fullmatch(word) if len(word) <= 4096 and "://" not in word else None
    if found is None or len(found[2]) < 3 or _NO_SECRET.fullmatch(found[2]):
        return None
    domain, _, name = found[1][:-1].replace("\\", "/").rpartition("/")
    is_task = _TASK_NAME.match(name.lower()) is not None
    is_made = (bool(domain) or is_task) and (is_made_up(found[2], 10) or is_issued_or_chosen(found[2]))
    if not (of_anybody or is_made or is_person(name.rpartition(":")[2])):
        return None
    return found[1], found[2], found[3] or ""


_TASK = re.compile(r"([\w:.-]{1,80}\[)([\w.@-]{1,60}),([^\],]{3,200})\]")
_COMMA = re.compile(r"([\w.-]{1,80}/)?([A-Za-z][\w.-]{0,40}),([^,\s]{4,200})")
_USER_OPTION = re.compile(
    r"((?:[^=]{0,200},)?user(?:name)?=[A-Za-z][\w.@-]{0,60}:)([^,:/]{4,200})(,.*)?", re.S
)
_ENVIRONMENT = re.compile(r"([A-Z][A-Z0-9_]{2,60}+)=([^=]{20,200}+)")
_MARKS = frozenset(":%[= @,")
_PAIR = re.compile(r"([A-Za-z_][\w.-]{0,80}+) ([^ ]+)", re.A)


def _is_password(word: str) -> bool:
    return looks_chosen(word) or is_made_up(word, 10)


def hide_in_word(word: str, tool: str, hide: Hide) -> str:
    """The word with what its form gives away hidden; itself if nothing."""
    if _MARKS.isdisjoint(word):
        return word
    if tool not in GROUPING and (login := login_in(word, of_anybody=False)):  # `bob:S`
        return f"{login[0]}{hide('login', login[1])}{login[2]}"
    if "@" in word and (login := slashed_login_in(word)) and login[2] and _is_password(login[1]):
        return f"{login[0]}{hide('login', login[1])}{login[2]}"  # `APP/S@XE`
    if (given := _COMMA.fullmatch(word)) and is_person(given[2]) and _is_password(given[3]):  # `h/bob,S`
        return f"{given[1] or ''}{given[2]},{hide('login', given[3])}"
    if (task := _TASK.fullmatch(word)) and is_person(task[2]):  # rake's `user:create[bob,S]`
        return f"{task[1]}{task[2]},{hide('beside_login', task[3])}]"
    if tool not in GROUPING and (given := _USER_OPTION.fullmatch(word)):  # `-o user=bob:S`
        return f"{given[1]}{hide('login', given[2])}{given[3] or ''}"
    if (
        (pair := _PAIR.fullmatch(word)) and HIDDEN not in word and is_sensitive(pair[1])
    ):  # `--define '_gpg_passphrase S'`
        return (
            f"{pair[1]} {hide('pair', pair[2])}"
            if "_" in pair[1] or not pair[2].replace(":", "").isalpha()
            else word
        )
    if (assigned := _ENVIRONMENT.fullmatch(word)) and is_issued(assigned[2], assigned[1]):
        return f"{assigned[1]}={hide('environment', assigned[2])}"
    return word
