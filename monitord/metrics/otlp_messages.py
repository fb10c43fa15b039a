"""Incidents as log records and figures as metrics, in the messages of OTLP (extra `otlp`).

The same incident makes the same bytes at every try. Its id is `log.record.uid`, by which a backend may tell
that a record came twice.
"""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from monitord import __version__
from monitord.errors import MonitordError
from monitord.export.bundle import Bundle
from monitord.export.cleaning import Identities
from monitord.installation import install_command
from monitord.metrics.families import Family, Point
from monitord.redaction import printable
from monitord.storage.views import IncidentView

LOGS, METRICS = "/v1/logs", "/v1/metrics"
_LONGEST_TEXT = 1000
_UNITS = (("_seconds", "s"), ("_bytes", "By"), ("_ratio", "1"))
_WARN = 13  # SEVERITY_NUMBER_WARN
_CUMULATIVE = 2  # AGGREGATION_TEMPORALITY_CUMULATIVE
# One number beyond what the protocol has room for would keep everything else back for ever.
LARGEST_INTEGER = (1 << 63) - 1
_LAST_NANOSECOND = (1 << 64) - 1  # in the year 2554


def require_extra() -> None:
    """Raise where the extra is missing, with what to type."""
    if importlib.util.find_spec("opentelemetry") is None:
        raise MonitordError(f"cannot import opentelemetry-proto; install it: {install_command('otlp')}")


def logs_request(views: Sequence[IncidentView], key_of: Callable[[str], bytes]) -> bytes:
    """Return incidents as one ExportLogsServiceRequest, redacted as an export is.

    `key_of` gives the key of an incident's stand-ins.
    """
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    scope = described(resource, resource.scope_logs)
    for view in views:
        told = told_of(view, key_of(view.correlation_id))
        record = scope.log_records.add()
        record.time_unix_nano = record.observed_time_unix_nano = nanoseconds(view.raised_at)
        record.severity_number, record.severity_text = _WARN, "WARN"
        record.event_name = "monitord.incident"
        record.body.string_value = text_of(told["verdict"])
        _set(record.attributes, _facts(view, told))
    return bytes(request.SerializeToString(deterministic=True))


def told_of(view: IncidentView, key: bytes) -> Mapping[str, Any]:
    """Return an incident as an export has it, redacted; `key` makes its stand-ins."""
    return next(iter(Bundle(partial(list, [view]), view.raised_at, Identities(key=key)).incidents()))


def rejected_logs(answer: bytes) -> tuple[int, str]:
    """Return how many records of those that it answers it did not take, and why in its words."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    return rejected(answer, ExportLogsServiceResponse, "rejected_log_records")


def rejected(answer: bytes, response: Any, count: str) -> tuple[int, str]:
    """Return what the partial success of a response's kind says: its field `count`, and its words."""
    from google.protobuf.message import DecodeError

    try:
        said = response.FromString(answer).partial_success
    except DecodeError:
        return 0, ""  # it took them: what it says besides is its own affair
    return max(0, getattr(said, count)), printable(said.error_message)[:200]


def metrics_request(families: Iterable[Family], now: datetime, started_at: datetime | None) -> bytes:
    """Return figures as one ExportMetricsServiceRequest; counters are cumulative since `started_at`."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    scope = described(resource, resource.scope_metrics)
    for family in families:
        metric = scope.metrics.add()
        metric.name, metric.description = family.name, family.help
        metric.unit = next((unit for end, unit in _UNITS if family.name.endswith(end)), "")
        start = nanoseconds(started_at) if started_at and family.is_since_start else 0
        _add_points(metric, family, nanoseconds(now), start)
    return bytes(request.SerializeToString(deterministic=True))


def _add_points(metric: Any, family: Family, at: int, start: int) -> None:
    if family.kind == "counter":
        metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, _CUMULATIVE
    held = {"counter": metric.sum, "gauge": metric.gauge, "summary": metric.summary}[family.kind]
    for point in family.points:
        made = held.data_points.add()
        made.time_unix_nano = at
        _set(made.attributes, dict(zip(family.labels, point.words, strict=True)))
        if family.kind == "summary":
            made.start_time_unix_nano, made.count, made.sum = start, point.count, point.value
            continue
        made.as_double = point.value
        if family.kind == "counter":
            made.start_time_unix_nano = start
            _add_exemplar(made, point)


def _add_exemplar(made: Any, point: Point) -> None:
    if point.exemplar is not None:
        shown = made.exemplars.add()
        shown.time_unix_nano, shown.as_double = nanoseconds(point.exemplar.at), point.exemplar.value
        _set(shown.filtered_attributes, {point.exemplar.label: point.exemplar.word})


def _facts(view: IncidentView, told: Mapping[str, Any]) -> dict[str, Any]:
    """The record's attributes, by OpenTelemetry's own words where it has some."""
    spot = told["hotspots"][0] if told["hotspots"] else {}
    return {
        "log.record.uid": view.correlation_id,
        "monitord.incident.id": view.correlation_id,
        "monitord.rule": view.rule,
        "monitord.metric": view.metric.value,
        "monitord.value": float(view.value),
        "monitord.severity": float(view.severity),
        "monitord.reason": told["reason"],
        "monitord.cause": (told["cause"] or {}).get("kind"),
        "process.executable.name": told["process_name"],
        "process.pid": view.record.pid,
        "code.function.name": spot.get("function"),
        "code.file.path": spot.get("file"),
        "code.line.number": spot.get("line"),
    }


def described(resource: Any, scopes: Any) -> Any:
    """Say in a message for one resource whose it is; its one scope, to be filled."""
    host = printable(socket.gethostname())[:64]
    facts = {"service.name": "monitord", "service.version": __version__, "host.name": host}
    _set(resource.resource.attributes, facts)
    made = scopes.add()
    made.scope.name, made.scope.version = "monitord", __version__
    return made


def _set(attributes: Any, facts: Mapping[str, Any]) -> None:
    for key, fact in known(facts):
        made = attributes.add()
        made.key = key
        put(made.value, fact)


def known(facts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each with its key; what is not known, or no integer of the protocol's, is left out."""
    for key, fact in facts.items():
        if fact is not None and fact != "" and not (isinstance(fact, int) and abs(fact) > LARGEST_INTEGER):
            yield key, fact


def put(value: Any, fact: bool | float | str) -> None:
    """Put a fact into an AnyValue."""
    if isinstance(fact, bool):
        value.bool_value = fact
    elif isinstance(fact, float):
        value.double_value = fact
    elif isinstance(fact, int):
        value.int_value = fact
    else:
        value.string_value = text_of(fact)


def text_of(fact: object) -> str:
    """Return it as a text of bounded length that a terminal can show."""
    return printable(str(fact))[:_LONGEST_TEXT]


def nanoseconds(moment: datetime) -> int:
    """Return it as the protocol counts time; a moment beyond that is its first or its last."""
    return min(max(0, int(moment.timestamp() * 1_000_000) * 1000), _LAST_NANOSECOND)
