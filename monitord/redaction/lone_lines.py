"""One line of source of which nothing else is known: neither what stands before it nor its language.

It is read as Python, and what can't be Python by the quoting rules of other languages. What looks like no
code at all may be the middle of a long text, and goes whole. What stands without quotes is read as a text.
"""

from __future__ import annotations

import re

from monitord.redaction.arguments import hide_text, redact_text
from monitord.redaction.source import (
    MAX_LINE,
    PYTHON_WORDS,
    literals,
    safe_part,
    without_numbers,
)
from monitord.redaction.tools import READERS, is_command_line, tool_name
from monitord.redaction.words import HIDDEN, TRUNCATED, is_readable

# What no line of Python holds outside its literals.
_FOREIGN = re.compile(
    r";\s*(?:$|//)|/\*|^\s*(?:[}$<%|]|//|--\s|;|\[\w[\w .-]*+\]\s*(?:$|\w))"
    r"|[$]\w|\$[{(]|[\w)]\s?\{\s*$|=>|\w(?:->|::)\w|&&|\|\||`|:=\s|\?=|[@%]\{|=\s?%[qQwWiI]?[({\[<|]|\w!\(|[%@]\w++\s?="
    r"|(?<!\w)(?:q|qq|qw|qx)\{|(?<!\w)(?:my|our|local|const|let|var|val|func|fn|fun|public|private|static|new)\s++\S"
)
_PART = re.compile(
    r"(?P<comment>(?:^|(?<=[\s;,)}]))"
    r"(?://|--\s|#)[^\n]*+|^\s*[;%](?!\w++\s?=)[^\n]*+)"
    r"|(?P<remark>/\*(?:[^*\n]|\*(?!/))*(?:\*/)?|<!--(?:[^-\n]|-(?!->))*(?:-->)?)"
    r"|(?P<lifetime>(?<=[&<])'[a-z_]{1,10}+(?!'))"
    r"|(?P<quote>[\"'`])"
    r"|(?<![\w)\]%$@&.>])(?:%[qQwWiIxr]?|(?:q|qq|qw|qx)\s{0,2})(?P<mark>[({\[<|!/~])(?!\s)"
    r"|\[(?P<long>={0,3})\["
)
_INSIDE = {
    mark: re.compile(rf"(?:[^{re.escape(mark)}\\\n]|\\.)*+") for mark in ('"', "'", "`", "|", "!", "/", "~")
}
_CLOSING = {"(": ")", "{": "}", "[": "]", "<": ">"}
# Of the languages' own words each may stand beside a name.
_WORDS = PYTHON_WORDS | {
    "abstract", "after", "alter", "as", "async", "attr_accessor", "attr_reader", "auto", "before", "begin",
    "boolean", "break", "by", "byte", "case", "catch", "char", "class", "const", "constexpr", "create",
    "data", "declare", "default", "defer", "defmodule", "defn", "delete", "desc", "describe", "do", "done",
    "double", "drop", "dyn", "echo", "elseif", "elsif", "end", "enum", "esac", "exec", "exit", "export",
    "extends", "extern", "fi", "final", "finally", "float", "fn", "foreach", "func", "function", "go",
    "group", "having", "impl", "implements", "inline", "insert", "instanceof", "int", "interface",
    "internal", "into", "it", "join", "let", "limit", "local", "long", "loop", "module", "move", "mut",
    "my", "namespace", "new", "nil", "null", "object", "of", "on", "order", "our", "override", "package",
    "print", "println", "private", "proc", "procedure", "protected", "pub", "public", "puts", "raise",
    "range", "readonly", "ref", "register", "require", "select", "set", "short", "signed", "sizeof",
    "static", "std", "string", "struct", "sub", "switch", "synchronized", "table", "template", "then",
    "throw", "throws", "to", "trait", "typedef", "typename", "union", "unique", "unless", "unsafe", "unset",
    "unsigned", "until", "update", "use", "using", "val", "validates", "values", "var", "virtual", "void",
    "volatile", "when", "where", "while", "with", "rescue", "ensure", "type", "any", "bigint", "bool",
    "error", "f32", "f64", "float32", "float64", "i32", "i64", "int16", "int32", "int64", "int8",
    "integer", "never", "number", "rune", "text", "u16", "u32", "u64", "u8", "uint8", "uint16", "uint32",
    "uint64", "usize", "varchar", "SELECT", "INSERT", "INTO", "UPDATE", "DELETE", "FROM", "WHERE", "GROUP",
    "ORDER", "BY", "HAVING", "LIMIT", "JOIN", "LEFT", "INNER", "ON", "AS", "AND", "OR", "NOT", "NULL", "IS",
    "IN", "CREATE", "ALTER", "DROP", "TABLE", "INDEX", "VIEW", "VALUES", "SET", "ADD", "COLUMN", "DESC",
    "ASC", "DISTINCT", "UNION", "CASE", "WHEN", "THEN", "ELSE", "END", "LIKE", "ENV", "ARG", "LABEL",
    "USER", "COPY", "WORKDIR", "EXPOSE", "RUN", "CMD", "ENTRYPOINT",
}  # fmt: skip
_TWO_NAMES = re.compile(r"(?<![\w.$@%&<])(?<![ \t]-)(?<![ \t]--)([^\W\d]\w*+)[ \t]++(?=([^\W\d]\w*+))")
_TYPED = re.compile(  # `Order order)`, `uint64_t h =`, `w http.ResponseWriter`, `i, j int)`
    r"(?:[A-Z]\w*+|\w{1,40}_t)[ \t]++\w++\s{0,2}(?:[=;:,)({]|$)|\w++[ \t]++[a-z]\w*+\.[A-Z]"
    r"|[A-Z]\w*+[ \t]++[A-Z]\w*+\s{0,2}[{<(]"
)
# Not how Python is written: `NAME=word` outside of a call, `name: word` where the word is not a type.
_SETTING = re.compile(
    r"\s*(?:(?:\[[\w .-]+\] ?|- |export )?[\w.-]+"
    r"(?:=\S+|:[ \t]+(?!(?:str|bytes|int|bool|float|object|dict|list|set|tuple)\b)[a-z0-9]\S*)"
    r"|[A-Z_]+ ?[:?]= ?\S+|<\w[^>]*>[^<]+</.*)\s*"
)
_EXPRESSION = re.compile(r"[\w.\[\](){}$@:&*<>,;?!|=+\s-]*")
_NAME = re.compile(r"\w+")
_CAMEL = re.compile(r"(?:[A-Z]{1,4}[a-z]{2,})+")
_YEAR = re.compile(r"[0-9]{4}$")
_PROSE_END = re.compile(r"(?<!\w)[^\W\d]\w*+[ \t]*+[?!](?![=\w])|\\$")
_FOREIGN_PROSE_END = re.compile(r"(?<![\w.])[^\W\d]\w*+[ \t]*+[?!]\s*$|\\$")
_MARK = re.compile(r"[=(){}\[\];<>$|]|^\s*(?:class|defmodule|import|module|namespace|package|use|using)\s")
_INSTRUCTION = re.compile(r"\s*(?:RUN|CMD|ENTRYPOINT|HEALTHCHECK CMD|ENV|ARG|LABEL)\s+(?=\S)")


def redact_source(line: str) -> str:
    """Give a line without what its strings and comments say; one that is not clearly code goes whole."""
    line = line[:MAX_LINE].split("\n", 1)[0]
    code = _without(line, [(*span, is_comment) for span, is_comment in literals(line, len(line))], "")
    if '"""' in code or "'''" in code:
        return HIDDEN
    if not (_FOREIGN.search(code) or _is_cut(code) or _is_prose(code, PYTHON_WORDS)):
        return _shown(safe_part(line, 0, len(line)), code)
    parts = _foreign_parts(line)
    code = _without(line, parts or [], "")
    has_mark = _MARK.search(code) or _INSTRUCTION.match(code) or not code.strip()
    if parts is None or not (_is_command(code) or (has_mark and not _is_prose(code, _WORDS))):
        return HIDDEN
    return _shown(without_numbers(_without(line, parts, HIDDEN).strip()), code)


def _shown(safe: str, code: str) -> str:
    """Run the rules for texts over what stands outside of literals; names that a program is made of stay."""
    if _SETTING.fullmatch(code) or _INSTRUCTION.match(code) or _is_command(code):
        return redact_text(safe)
    return hide_text(safe, _unless_expression)


def _unless_expression(_rule: str, value: str) -> str:
    if value == TRUNCATED:
        return value
    names = _NAME.findall(value)
    is_code = _EXPRESSION.fullmatch(value) and not any(map(_YEAR.search, names))
    return value if is_code and all(_CAMEL.fullmatch(name) or is_readable(name) for name in names) else HIDDEN


def _without(line: str, parts: list[tuple[int, int, bool]], instead: str) -> str:
    """The line with something else inside its literals, and without its comments."""
    done, copied = [], 0
    for start, stop, is_comment in parts:
        done += [line[copied:start], "" if is_comment else instead]
        copied = stop
    return "".join([*done, line[copied:]])


def _foreign_parts(line: str) -> list[tuple[int, int, bool]] | None:
    """Where literals and comments of any language begin and end; None when a literal stays open.

    It may as well have ended there.
    """
    parts, at = [], 0
    while (found := _PART.search(line, at)) is not None:
        at = found.end()
        if found["comment"] is not None or found["remark"] is not None:
            parts.append((*found.span(), True))
        elif found["lifetime"] is None:
            end = _end_of_literal(line, found)
            if end is None:
                return None
            parts.append((at, end, False))
            at = end + (1 if found["long"] is None else 0)
    return parts


def _end_of_literal(line: str, opening: re.Match[str]) -> int | None:
    """Where the mark is that closes a literal."""
    at, mark = opening.end(), opening["quote"] or opening["mark"]
    if mark is None:
        closing = line.find(f"]{opening['long']}]", at)
        return closing if closing >= 0 else None
    if mark in _INSIDE:
        inside = _INSIDE[mark].match(line, at)
        return inside.end() if inside and line.startswith(mark, inside.end()) else None
    depth = 1
    for place in range(at, len(line)):
        depth += (line[place] == mark) - (line[place] == _CLOSING[mark])
        if not depth:
            return place
    return None


def _is_command(code: str) -> bool:
    """Tell whether it is a command line of a known tool: words side by side, which its own rules judge."""
    instruction = _INSTRUCTION.match(code)
    command = code[instruction.end() :] if instruction else code.strip()
    is_readers = tool_name(command[:200].split(" ", 1)[0]) in READERS and " -" in command[:200]
    return is_readers or is_command_line(command)


def _is_prose(code: str, known: frozenset[str]) -> bool:
    """Two names side by side are not code: such a line is the middle of a text."""
    is_python = known is PYTHON_WORDS
    for found in _TWO_NAMES.finditer(code):
        is_known = found[1] in known or found[2] in known
        if not is_known and (is_python or not _TYPED.match(code, found.start())):
            return True
    return (_PROSE_END if is_python else _FOREIGN_PROSE_END).search(code) is not None


def _is_cut(code: str) -> bool:
    """Tell whether a literal stays open: it may as well have ended here. `code` has only the quotes."""
    return any(code.count(quote) % 2 for quote in "\"'")
