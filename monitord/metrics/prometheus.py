"""Families as Prometheus reads them (extra `metrics`): its text, or OpenMetrics, which has exemplars."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitord.errors import MonitordError
from monitord.installation import install_command
from monitord.metrics.families import Family

if TYPE_CHECKING:
    from prometheus_client.core import Metric

TEXT = "text/plain; version=0.0.4; charset=utf-8"
_OPEN_METRICS = "application/openmetrics-text"


def require_extra() -> None:
    """Raise where the extra is missing, with what to type."""
    for package in ("prometheus_client", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            name = package.replace("_", "-")
            raise MonitordError(f"cannot import {name}; install it: {install_command('metrics')}")


def form_of(accept: str) -> str:
    """Return which of two forms the header Accept asks for: OpenMetrics 1.0, or "" for text.

    What else it says (versions, escaping, weights) chooses nothing: the words are a client's.
    """
    return f"{_OPEN_METRICS};version=1.0.0" if _OPEN_METRICS in accept.lower() else ""


def written(families: Sequence[Family], accept: str = "") -> tuple[bytes, str]:
    """Write families in a form that the header Accept names; returns the bytes and their content type."""
    from prometheus_client.exposition import choose_encoder

    form = form_of(accept)
    encode, content_type = choose_encoder(form)
    return encode(_Told(families)), content_type if form else TEXT


@dataclass(frozen=True, slots=True)
class _Told:
    """A collector of numbers that somebody else counted."""

    families: Sequence[Family]

    def collect(self) -> Iterator[Metric]:
        return map(_metric, self.families)


def _metric(family: Family) -> Metric:
    from prometheus_client import core

    if family.kind == "summary":
        summary = core.SummaryMetricFamily(family.name, family.help, labels=family.labels)
        for point in family.points:
            summary.add_metric(point.words, point.count, point.value)
        return summary
    if family.kind == "gauge":
        gauge = core.GaugeMetricFamily(family.name, family.help, labels=family.labels)
        for point in family.points:
            gauge.add_metric(point.words, point.value)
        return gauge
    counter = core.CounterMetricFamily(family.name, family.help, labels=family.labels)
    for point in family.points:
        shown = point.exemplar
        named = {shown.label: shown.word} if shown else {}
        exemplar = core.Exemplar(named, shown.value, shown.at.timestamp()) if shown else None
        counter.add_metric(point.words, point.value, exemplar=exemplar)
    return counter
