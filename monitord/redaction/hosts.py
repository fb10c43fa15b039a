"""Names of hosts that identify somebody, by where they stand in a text: `--host`, an address, `user@`."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LABELS = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})(?:\.[A-Za-z0-9][A-Za-z0-9-]{0,62}){1,8}"
# Suffixes that no public name has (RFC 6762, RFC 8375, ICANN's reserved ones, and what clusters use).
_PRIVATE = re.compile(
    r"(?<![\w.-])([A-Za-z0-9][A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9][A-Za-z0-9-]{0,62}){0,8}\.(?:internal|local|lan"
    r"|corp|intra|intranet|home|private|localdomain|consul|svc|home\.arpa))(?![\w-]|\.\w)"
)
_PLACED = re.compile(
    r"(?:://(?:[^\s/@\"']{1,300}@)?|(?<![\w.])[\w.+*-]{1,64}@"
    r"|(?<![\w-])(?:-h|-H|--?(?:[a-z]{1,20}-)?host(?:name)?|--?server)[ =]"
    rf"|(?<![\w-])(?:host|hostname|server|hostaddr|addr)\s?=\s?)({_LABELS})(?![\w(-])",
    re.I,
)
# Everybody's: their names say nothing about who uses them.
_PUBLIC = frozenset(
    {"github.com", "gitlab.com", "bitbucket.org", "googleapis.com", "google.com", "amazonaws.com",
     "docker.io", "docker.com", "quay.io", "ghcr.io", "gcr.io",
     "python.org",   "yarnpkg.com", "rubygems.org", "crates.io", "golang.org",
     "debian.org", "ubuntu.com", "kernel.org", "fedoraproject.org", "archlinux.org", "alpinelinux.org",
     "example.org", "example.com", "example.net", "huggingface.co", "openai.com", "anthropic.com",
     "slack.com", "discord.com", "microsoft.com", "windows.net", "cloudflare.com", "apache.org",
     "maven.org", "k8s.io", "mozilla.org", "w3.org", "letsencrypt.org"}
)  # fmt: skip
_FILE_ENDINGS = frozenset(
    {"py", "js", "ts", "so", "sh", "json", "yml", "yaml", "toml", "conf", "log", "txt", "db", "sock",
     "service", "slice", "scope", "html", "md", "c", "h", "rs", "go", "java", "cfg", "ini"}
)  # fmt: skip


def hosts_in(text: str) -> Iterator[str]:
    """The names of hosts in a text that are not everybody's; a name without a dot may be another word."""
    if "." not in text:
        return
    if len(text) < 65_536:
        for found in _PRIVATE.finditer(text):
            yield found[1]
        for found in _PLACED.finditer(text):
            labels = found[1].lower().split(".")
            is_name = not labels[-1].isdigit() and len(labels[-1]) > 1 and labels[-1] not in _FILE_ENDINGS
            if is_name and ".".join(labels[-2:]) not in _PUBLIC:
                yield found[1]
