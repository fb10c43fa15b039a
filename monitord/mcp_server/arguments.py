"""What clients really send, made into what a tool takes; what it can't take is refused in one line.

Assistants leave an optional argument empty instead of out, send ids as numbers, call a beginning `since` or
`from`, and fill in a dummy where a tool takes nothing. All of that has one meaning. A misspelt argument has
none, and stays an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from pydantic import ValidationError

from monitord.redaction import printable

_DUMMIES = frozenset({"random_string", "dummy", "_dummy", "_"})  # what clients invent for tools without any
_OTHER_NAMES = {"from": "since", "to": "until"}
_WORDS_LIMIT = 500


class ForgivingTool(Tool):
    """A tool that takes its arguments as clients send them."""

    async def run(self, arguments: dict[str, Any], context: Any, convert_result: bool = False) -> Any:
        """Run as the SDK does, but for the arguments and the words about wrong ones."""
        try:
            return await super().run(accepted(self, arguments), context, convert_result)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                raise ToolError(_refusal(self, error.__cause__)) from None
            raise


def accepted(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments by their own names, without empty optional ones and dummies."""
    fields = {field.alias or name: field for name, field in tool.fn_metadata.arg_model.model_fields.items()}
    if not fields:
        return {}
    kept: dict[str, Any] = {}
    for given, value in arguments.items():
        other = _OTHER_NAMES.get(given, given)
        name = other if given not in fields and other not in arguments else given
        is_empty = value is None or value == ""
        if name in _DUMMIES - fields.keys() or (
            is_empty and name in fields and not fields[name].is_required()
        ):
            continue
        kept[name] = value
    return kept


def _refusal(tool: Tool, error: ValidationError) -> str:
    """What is wrong with which argument, without the library's addresses and types."""
    wrong = []
    for each in error.errors(include_url=False, include_context=False)[:3]:
        name = ".".join(map(str, each["loc"])) or "arguments"
        if each["type"] == "extra_forbidden":
            known = ", ".join(tool.parameters.get("properties", {}))
            wrong.append(f"unknown argument {name}: {tool.name} takes {known}")
        elif each["type"] == "missing":
            wrong.append(f"missing argument {name}")
        else:
            wrong.append(f"invalid {name}: {each['msg'][:1].lower()}{each['msg'][1:]}")
    return printable("; ".join(wrong))[:_WORDS_LIMIT]
