"""What an interpreter, or a program that starts another, was told to run: one table, one parser. Pure.

Rooms that name a process and rooms that tell one program from another ask here, so that they can't disagree.
A command line is the process's own word and may lie: good for eyes and for kinship, never for trust.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

_WORDS_AT_MOST = 200  # what an interpreter runs stands at the beginning; a hostile argv has 100,000 words
_VERSIONED = re.compile(r"([A-Za-z]+(?:-[a-z]+)?)(?:-?[0-9][0-9.]*[a-z]{0,2}(?:-[a-z0-9.]+)?)?")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


@dataclass(frozen=True, slots=True)
class Started:
    """What an interpreter was told to run. `kind` is file, module, text, jar, class, or "" for nothing told
    (interactive, stdin).

    `option` is what said so ("-m", "-jar"); `search` where classes are looked for; `through` the programs
    that a program like `sudo` was told to start, outermost first.
    """

    kind: str = ""
    what: str = ""
    option: str = ""
    search: str = ""
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grammar:
    """How one family of interpreters reads its options.

    Letters may stand together (`-um`); `values` take the rest of their word or the next, `attached` only the
    rest, `digits` the digits that follow. `long` options take the next word unless they have a "=". With
    `is_single` every option is a word of its own, as in Java. `sources` give what is run, by their kind.
    """

    values: str = ""
    attached: str = ""
    digits: str = ""
    long: frozenset[str] = frozenset()
    sources: dict[str, str] = field(default_factory=dict)
    searches: frozenset[str] = frozenset()
    is_single: bool = False
    is_shell: bool = False
    operand: str = "file"
    verbs: frozenset[str] = frozenset()
    wraps: bool = False
    skips: int = 0
    starts: frozenset[str] = frozenset()


def _long(words: str) -> frozenset[str]:
    return frozenset(words.split())


_PYTHON = Grammar("WXQ", sources={"-c": "text", "-m": "module"}, long=_long("--check-hash-based-pycs --jit"))
_NODE = Grammar(
    "rC",
    long=_long(
        "--require --import --loader --experimental-loader --conditions --env-file "
        "--env-file-if-exists --title --inspect-port --debug-port --icu-data-dir "
        "--openssl-config --tls-cipher-list --tls-keylog --watch-path --input-type --redirect-warnings "
        "--trace-event-categories --unhandled-rejections --disable-warning --dns-result-order "
        "--diagnostic-dir --cpu-prof-dir --cpu-prof-name --heap-prof-dir --heapsnapshot-signal "
        "--test-reporter --test-reporter-destination --test-name-pattern --max-http-header-size "
    ),
    sources={"-e": "text", "-p": "text", "-pe": "text", "--eval": "text", "--print": "text"},
    verbs=_long("inspect debug"),
)
_JAVA = Grammar(
    long=_long(
        "-p --module-path --upgrade-module-path --add-modules --add-reads --add-exports "
        "--add-opens --patch-module --limit-modules --source -d --describe-module "
    ),
    sources={"-jar": "jar", "-m": "module", "--module": "module"},
    searches=_long("-cp -classpath --class-path"),
    is_single=True,
    operand="class",
)
_RUBY = Grammar(
    "rICE",
    attached="xKWFiT",
    digits="0l",
    long=_long("--encoding --external-encoding --internal-encoding --enable --disable --dump --parser"),
    sources={"-e": "text"},
)
_PERL = Grammar("I", attached="MmiFVxDd", digits="0lC", sources={"-e": "text", "-E": "text"})
_PHP = Grammar(
    "dczSt",
    long=_long("--define --php-ini --zend-extension --server --docroot"),
    sources={
        **dict.fromkeys(("-f", "--file", "-F", "--process-file"), "file"),
        **dict.fromkeys(("-r", "--run", "-B", "-R", "-E", "--process-code"), "text"),
    },
)
_SHELL = Grammar("oO", long=_long("--rcfile --init-file"), sources={"-c": "text"}, is_shell=True)
_R = Grammar("g", long=_long("--encoding --gui"), sources={"-e": "text", "-f": "file", "--file": "file"})
_RSCRIPT = Grammar(long=_long("--default-packages"), sources={"-e": "text"})
_LUA = Grammar("l", attached="jOb", sources={"-e": "text"})
_JULIA = Grammar(
    "LptCJH",
    attached="Og",
    long=_long("--load --procs --threads --cpu-target --sysimage --home --machine-file"),
    sources={"-e": "text", "-E": "text", "--eval": "text", "--print": "text"},
)
_DENO = Grammar(
    "cL", attached="r", long=_long("--config --import-map --cert --location --seed --log-level --ext"),
    verbs=_long("run test bench serve task eval compile"),
)  # fmt: skip
_BUN = Grammar(
    "cr", long=_long("--cwd --config --env-file --preload --port --install --filter"),
    sources={"-e": "text", "-p": "text", "--eval": "text", "--print": "text"}, verbs=_long("run test x"),
)  # fmt: skip
_DOTNET = Grammar(
    long=_long(
        "--runtimeconfig --depsfile --additionalprobingpath --fx-version --roll-forward --project "
        "--framework --configuration -c -f -p "
    ),
    is_single=True,
    verbs=_long("exec"),
)
_TCL = Grammar("")


def _wrapper(
    values: str = "", long: str = "", *, skips: int = 0, starts: str = "", digits: str = ""
) -> Grammar:
    return Grammar(values, digits=digits, long=_long(long), wraps=True, skips=skips, starts=_long(starts))


_UV_LONG = (
    "--with --with-editable --with-requirements --python --project --directory --extra --group "
    "--env-file --index --default-index --package --cache-dir --config-file --from "
    "--only-group --no-group --color "
)

GRAMMARS: dict[str, Grammar] = {
    **dict.fromkeys(("python", "pythonw", "pypy", "graalpy", "micropython"), _PYTHON),
    **dict.fromkeys(("node", "nodejs"), _NODE),
    "java": _JAVA,
    **dict.fromkeys(("ruby", "jruby", "truffleruby"), _RUBY),
    "perl": _PERL,
    **dict.fromkeys(("php", "php-cgi"), _PHP),
    **dict.fromkeys(("bash", "sh", "dash", "ash", "zsh", "ksh", "mksh"), _SHELL),
    "R": _R,
    "Rscript": _RSCRIPT,
    **dict.fromkeys(("lua", "luajit"), _LUA),
    "julia": _JULIA,
    "deno": _DENO,
    "bun": _BUN,
    **dict.fromkeys(("dotnet", "mono"), _DOTNET),
    **dict.fromkeys(("tclsh", "wish", "expect"), _TCL),
    "env": _wrapper("uC", "--unset --chdir"),
    "sudo": _wrapper(
        "ugphCRDTrtU", "--user --group --chdir --host --prompt --chroot --close-from --role --type"
    ),
    "doas": _wrapper("uC"),
    "nice": _wrapper("n", "--adjustment", digits="0123456789"),
    "ionice": _wrapper("cn", "--class --classdata"),
    **dict.fromkeys(("nohup", "setsid", "catchsegv", "tini", "busybox"), _wrapper()),
    "dumb-init": _wrapper("r", "--rewrite"),
    "timeout": _wrapper("ks", "--kill-after --signal", skips=1),
    "stdbuf": _wrapper("ioe", "--input --output --error"),
    "taskset": _wrapper("", skips=1),
    "chrt": _wrapper("TPD", "--sched-runtime --sched-period --sched-deadline", skips=1),
    "flock": _wrapper("wE", "--timeout --conflict-exit-code", skips=1),
    "strace": _wrapper("aeEIoOpPsSuUXb"),
    "time": _wrapper("of", "--output --format"),
    "unshare": _wrapper("SGRw", "--setuid --setgid --root --wd"),
    "uv": _wrapper("p", _UV_LONG, starts="run"),
    "uvx": _wrapper("p", _UV_LONG),
    **dict.fromkeys(("poetry", "pipenv", "pdm", "hatch", "rye"), _wrapper("", starts="run")),
    "conda": _wrapper("np", "--name --prefix --cwd", starts="run"),
    "bundle": _wrapper("", starts="exec"),
}
"""To add one: a line here, by the name of its executable without its version."""

PYTHONS = frozenset(name for name, grammar in GRAMMARS.items() if grammar is _PYTHON)


def family_of(executable: str) -> str | None:
    """The table's name of an executable ("python3.13t" is "python"); None: no interpreter known here."""
    if executable in GRAMMARS:
        return executable
    found = _VERSIONED.fullmatch(executable[:64])
    return found[1] if found and found[1] in GRAMMARS else None


def is_python(executable: str) -> bool:
    """Whether an executable of this name is a Python."""
    return family_of(executable) in PYTHONS


def started(executable: str, words: Sequence[str]) -> Started | None:
    """Return what the interpreter `executable` (a file's name) was told to run; None for an unknown one."""
    family = family_of(executable)
    if family is None:
        return None
    return _Reader(GRAMMARS[family], list(words[1:_WORDS_AT_MOST])).read()


class _Reader:
    """Reads the options of one command line up to what is run."""

    def __init__(self, grammar: Grammar, words: list[str]) -> None:
        self._grammar = grammar
        self._words = words
        self._search = ""
        self._has_text = False  # a shell's -c: the text is the first operand

    def read(self) -> Started:
        skips, verbs, starts = self._grammar.skips, self._grammar.verbs, self._grammar.starts
        is_ended = False
        while self._words:
            word = self._words.pop(0)
            if not is_ended and word == "--":
                is_ended = True
            elif not is_ended and _is_option(word, self._grammar):
                if (found := self._option(word)) is not None:
                    return found
            elif starts and not is_ended:
                if word not in starts:
                    return Started()  # `uv pip …` starts nothing of ours
                starts = frozenset()
            elif self._grammar.wraps and (word == "-" or _ASSIGNMENT.match(word)) and not skips:
                continue  # what `env` sets for the program, or that it sets nothing
            elif skips:
                skips -= 1
            elif word in verbs:
                if word == "eval":
                    return self._of("text", self._next(), word)
                verbs = frozenset()
            else:
                return self._operand(word)
        return self._of("", "", "")

    def _operand(self, word: str) -> Started:
        grammar = self._grammar
        if grammar.wraps:
            name = word.rpartition("/")[2]
            inner = started(name, [word, *self._words])
            return replace(inner or Started(), through=(name, *(inner.through if inner else ())))
        if grammar.is_shell and self._has_text:
            return self._of("text", word, "-c")
        if word == "-":
            return Started()  # what comes on stdin
        if grammar.operand == "class" and word.startswith("@"):
            return self.read()  # a file with more options
        return self._of(grammar.operand, word, "")

    def _option(self, word: str) -> Started | None:
        """What this option says is run; None when it says something else, which is skipped."""
        name, equals, value = word.partition("=")
        if word.startswith("--") or self._grammar.is_single:
            return self._whole(name, value if equals else None)
        if self._grammar.is_shell and word[0] == "+":
            return self._letters(word, sources={})
        return self._letters(word, self._grammar.sources)

    def _whole(self, name: str, value: str | None) -> Started | None:
        grammar = self._grammar
        if name in grammar.sources:
            return self._of(grammar.sources[name], self._next() if value is None else value, name)
        if name in grammar.searches:
            self._search = self._next() if value is None else value
        elif name in grammar.long and value is None:
            self._next()
        return None

    def _letters(self, word: str, sources: dict[str, str]) -> Started | None:
        grammar, rest = self._grammar, word[1:]
        if word in sources and not grammar.is_shell:
            return self._of(sources[word], self._next(), word)
        while rest:
            letter, rest = rest[0], rest[1:]
            if grammar.is_shell and letter == "c" and sources:
                self._has_text = True
            elif (kind := sources.get(f"-{letter}")) is not None:
                return self._of(kind, rest or self._next(), f"-{letter}")
            elif letter in grammar.values:
                if not rest:
                    self._next()
                return None
            elif letter in grammar.attached:
                return None
            elif letter in grammar.digits:
                rest = rest.lstrip("0123456789")
        return None

    def _next(self) -> str:
        return self._words.pop(0) if self._words else ""

    def _of(self, kind: str, what: str, option: str) -> Started:
        return Started(kind if what else "", what, option if what else "", self._search)


def _is_option(word: str, grammar: Grammar) -> bool:
    """A lone "-" is stdin, so it is what is run; shells switch options off with "+"."""
    return len(word) > 1 and (word[0] == "-" or (grammar.is_shell and word[0] == "+"))
