"""Stores to look at in a browser: incidents of several sorts, with profiles that can be drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitord.model import BEFORE, Capture, CaptureStatus, Cause, Hotspot, Incident, Threshold, TriggerMetric
from monitord.profiles.representation import RING
from monitord.storage import open_store
from tests.cli.conftest import make_incident
from tests.profiles.ring_documents import RingDocument, python

LOCK = Cause(
    "lock",
    "python3 shop.py waited for the lock of /var/lib/shop.db, which backup (pid 411) held",
    "likely",
    "cpu",
    "sudo cat /proc/locks, while it lasts",
    (("holder", "backup (pid 411)"), ("waited", "8.4 s of 10 s")),
)
SORTS = (
    ("python3", ("python3", "/srv/shop/shop.py"), TriggerMetric.CPU, 97.0, Threshold(90.0, "percent"), None),
    (
        "python3",
        ("python3", "/srv/shop/import_orders.py"),
        TriggerMetric.CPU,
        181.0,
        Threshold(90.0, "percent"),
        LOCK,
    ),
    (
        "java",
        ("java", "-jar", "/opt/search/search.jar"),
        TriggerMetric.MEMORY,
        float(3 << 30),
        Threshold(2 << 30, "bytes"),
        None,
    ),
    ("postgres", ("postgres: writer",), TriggerMetric.DISK_IO, 214e6, Threshold(100e6, "bytes_per_s"), None),
    (
        "rsync",
        ("rsync", "-a", "/srv", "/backup"),
        TriggerMetric.NETWORK,
        91e6,
        Threshold(50e6, "bytes_per_s"),
        None,
    ),
)
HOTSPOTS = (
    Hotspot(
        "validate",
        "/srv/shop/shop.py",
        6,
        0.62,
        0.71,
        "python",
        source_line="total = sum(price * vat(price) for price in basket)",
    ),
    Hotspot("load_orders", "/srv/shop/orders.py", 21, 0.19, 0.2, "python"),
    Hotspot("memcpy", None, None, 0.09, 0.09, "native", module="/usr/lib/x86_64-linux-gnu/libc.so.6"),
    Hotspot("<module>", "/srv/shop/shop.py", 40, 0.0, 1.0, "python"),
)


def speedscope() -> bytes:
    names = [("<module>", "/srv/shop/shop.py", 40), ("main", "/srv/shop/shop.py", 30), ("validate", "/srv/shop/shop.py", 6),
             ("load_orders", "/srv/shop/orders.py", 21), ("vat", "/srv/shop/tax.py", 3), ("parse", "/usr/lib/python3.11/json/decoder.py", 337)]  # fmt: skip
    frames = [{"name": name, "file": file, "line": line} for name, file, line in names]
    stacks = [([0, 1, 2], 31), ([0, 1, 2, 4], 40), ([0, 1, 3], 9), ([0, 1, 3, 5], 14), ([0, 1], 6)]
    lane = {"type": "sampled", "name": "MainThread", "unit": "seconds", "startValue": 0, "endValue": 10}
    lane |= {"samples": [stack for stack, _ in stacks], "weights": [weight / 10 for _, weight in stacks]}
    return json.dumps({"shared": {"frames": frames}, "profiles": [lane], "exporter": "py-spy"}).encode()


def ring(pid: int) -> bytes:
    document = RingDocument()
    shop = document.process(pid, is_target=True)
    document.ran(shop, [python("<module>"), python("load_orders")], 20, 60, 0.3)
    document.ran(shop, [python("<module>"), python("price_basket")], 60, 80, 0.7)
    document.ran(shop, [python("<module>"), python("validate", "/srv/shop/shop.py", 6)], 80, 100, 1.0)
    return document.payload()


def incident(number: int, at: datetime) -> Incident:
    """The number says its sort."""
    name, words, metric, value, threshold, cause = SORTS[number % len(SORTS)]
    pid = 800 + number % 90
    made = make_incident(name=name, command_line=words, pid=pid, metric=metric, value=value, threshold=threshold, at=at, hotspots=HOTSPOTS,
                         late=number % 11 == 3, reason=f"{metric.value} was above its threshold for 10 s")  # fmt: skip
    context, profile, missing = made.captures
    box = Capture(role=BEFORE, profiler="black box", status=CaptureStatus.OK, started_at=at - timedelta(seconds=80), duration_s=80.0, target=profile.target,
                  format=RING, payload=ring(pid), sample_count=640, hotspots=HOTSPOTS, notes={"processes": "2 processes", "scope": "machine"})  # fmt: skip
    return replace(
        made, cause=cause, captures=(context, box, replace(profile, payload=speedscope()), missing)
    )


def many(count: int, now: datetime) -> Iterator[Incident]:
    """Oldest first, seven minutes apart."""
    for number in range(count, 0, -1):
        yield incident(number, now - timedelta(minutes=7 * number))


def fill(data_dir: Path, count: int) -> list[str]:
    """Make a store with so many, and return their ids, the newest first."""
    store = open_store(data_dir)
    try:
        made = list(many(count, datetime.now(UTC)))
        for one in made:
            store.save_incident(one)
    finally:
        store.close()
    return [one.correlation_id for one in reversed(made)]
