"""Which functions were hot, across captures: one statement over the hotspots' events, read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monitord.storage.asking import incident_conditions
from monitord.storage.events.identity import id_at, time_of_id
from monitord.storage.events.rows import text_cell, text_of_cell
from monitord.storage.views import HotFilter, HotFunction

# 3 is the number of the type hotspot.
_ANY_HOTSPOT = "event_type = 3 AND event_type > 0"  # the second half lets the partial index of types serve it
_NAMED_HOTSPOT = "+event_type = 3"  # the name's index tells more
# A share is as sure as its samples are many: a look of one is not worth a profile of a hundred. Those of an
# older monitord, which did not note them, count as one of fifty.
_WEIGHT = "min(max(coalesce(payload ->> '$.samples', 50), 1), 100)"
_LEAST_SHARE = 0.005  # below that it would be shown as 0 %
# Code without a name ("[libfoo.so]") comes after all functions: what it did there is not known.
_HOT = """
SELECT e.function, e.module, e.arity, e.ast_node_id, a.incidents, a.mean, a.most, a.total, a.versions, e.id,
       e.correlation_id, e.payload ->> '$.file', e.payload ->> '$.line'
FROM (
  SELECT count(DISTINCT correlation_id) AS incidents,
         sum(payload ->> '$.self_share' * {weight}) / sum({weight}) AS mean,
         max(payload ->> '$.self_share') AS most, max(payload ->> '$.total_share') AS total,
         count(DISTINCT payload ->> '$.func_hash') AS versions, max(id) AS last_id,
         sum(payload ->> '$.self_share' * {weight}) AS weight
  FROM event WHERE {conditions} AND function IS NOT NULL
  GROUP BY coalesce(payload ->> '$.func_id', module || char(0) || function, function), ast_node_id
  ORDER BY max(function) LIKE '[%', weight DESC, last_id DESC LIMIT :limit
) a JOIN event e ON e.id = a.last_id
ORDER BY e.function LIKE '[%', a.weight DESC, e.id DESC
"""
_OF_INCIDENTS = (
    "correlation_id IN (SELECT i.correlation_id FROM incident i"
    " JOIN profile_capture c ON i.correlation_id = c.correlation_id WHERE {chosen})"
)


def hot_statement(wanted: HotFilter, *, checked: bool = False) -> tuple[str, Mapping[str, object]]:
    """Return the statement and its values. A function needs no name of its own where its source gave it an
    id.

    `checked` looks at every payload first, and leaves out those that are not JSON.
    """
    conditions = [_NAMED_HOTSPOT if wanted.function or wanted.module or wanted.node else _ANY_HOTSPOT]
    conditions.append("ast_node_id = :node" if wanted.node else "ast_node_id IS NULL")
    if checked:
        conditions.append("iif(typeof(payload) = 'text', json_valid(payload), 0)")
    conditions.append("payload ->> '$.waited' IS NULL")  # where nobody ran nothing was hot
    values: dict[str, object] = {"limit": wanted.limit}
    if wanted.node:
        values["node"] = text_cell("node", wanted.node)
    for name in ("function", "module"):
        value = text_cell(name, getattr(wanted, name))
        if value is not None:
            conditions.append(f"{name} = :{name}")
            values[name] = value
    if not (wanted.function or wanted.module or wanted.node):
        conditions.append(f"payload ->> '$.self_share' >= {_LEAST_SHARE}")
    if wanted.process:
        conditions.append(
            "correlation_id IN (SELECT correlation_id FROM profile_capture"
            " WHERE matches(:process, CAST(process_name AS BLOB), CAST(command_line AS BLOB)))"
        )
        values["process"] = wanted.process
    if wanted.incidents is not None:
        chosen, named = incident_conditions(wanted.incidents)
        conditions.append(_OF_INCIDENTS.format(chosen=chosen))
        values |= named
    for name, operator in (("since", ">="), ("until", "<")):
        moment = getattr(wanted, name)
        if moment is not None:
            conditions.append(f"id {operator} :{name}")
            values[name] = id_at(moment, name)
    return _HOT.format(weight=_WEIGHT, conditions=" AND ".join(conditions)), values


def hot_function(row: Sequence[Any]) -> HotFunction:
    """Read one row of the statement; names and place are of the last incident. Raises for a damaged one."""
    if not all(isinstance(value, int | float) for value in (*row[4:7], row[9])):
        raise TypeError(f"hotspot {row[9]!r} has a share that is not between 0 and 1")
    if not isinstance(row[2], int | None) or not isinstance(row[10], str | None):
        raise TypeError(f"hotspot {row[9]!r} has values of the wrong type")
    return HotFunction(
        function=text_of_cell(row[0]) or "",
        module=text_of_cell(row[1]),
        arity=row[2],
        node=text_of_cell(row[3]),
        incidents=row[4],
        self_share_mean=row[5] or 0.0,
        self_share_max=row[6] or 0.0,
        total_share_max=row[7],
        versions=row[8] or None,
        last_at=time_of_id(row[9]),
        last_incident=row[10],
        file=row[11],
        line=row[12],
    )
