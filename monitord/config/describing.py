"""The configuration explained: a commented file to start from, and its JSON schema."""

from __future__ import annotations

from typing import Any

import msgspec

from monitord.config.loading import DEFAULT_RULES_FILE
from monitord.config.quantities import has_unit
from monitord.config.settings import FileSettings

COMMENTS = {
    "sampling.interval_s": "seconds between two looks at the machine",
    "sampling.heartbeat_s": "at least this often every process is read",
    "sampling.ring_s": "how much history goes into an incident",
    "sampling.backend": "auto, linux (cached /proc descriptors) or psutil",
    "detection.default_rules": "false: only the [[rules]] of this file apply",
    "capture.consent": "auto: any process; listed: only `allow`; never: no profiles at all",
    "capture.allow": 'shell patterns on the name or the executable\'s path, e.g. ["python*", "/srv/*"]',
    "capture.deny": "wins over allow",
    "capture.duration_s": "length of a full profile",
    "capture.rate_hz": "samples a second; lowered by itself for targets with many threads",
    "capture.grace_s": "a profiler that overruns by this much is killed with its children",
    "capture.max_per_hour": "full profiles an hour, all rules together",
    "capture.first_look": "dump the stacks at the first crossing, then about once a second until the window"
    " is over or breaks (40 ms of CPU each, one a second whatever is armed, so below 5 % of a core)",
    "capture.read_sources": "read hot functions' source: ids of statements, their lines in `show`",
    "capture.min_available_memory_percent": "no capture when the machine has less than this",
    "capture.max_load_per_cpu": "no capture above this load average per CPU",
    "baselines.enabled": "profile programs shortly while nothing is wrong, to compare incidents with",
    "baselines.per_day": "at most so many, evenly over the day",
    "baselines.duration_s": "how long each looks",
    "baselines.rate_hz": "samples a second",
    "baselines.max_machine_percent": "none while the whole machine is busier than this",
    "black_box.enabled": "keep in memory what every process ran lately, for stacks from before an alert",
    "black_box.rate_hz": "stacks a second and busy CPU; an odd number is in step with no timer (9 µs each)",
    "black_box.kib_per_cpu": "memory for them: 512 hold 100 s of a busy CPU at 30 frames a stack. A power of"
    " two; a quarter comes on top for who lived where, and all CPUs together get 16 MiB at most",
    "retention.max_age_h": "evidence, and events of no incident, older than this go, unless kept by"
    " `monitord keep`",
    "retention.max_total_mb": "the data directory never exceeds this: database, write-ahead log, artefacts,"
    " quarantine, databases set aside, what killed captures left. On top come a running capture's files and,"
    " while a database is migrated or built anew, its copy",
    "retention.summary_days": "small summaries of incidents stay this long, and history, inside the budget",
    "retention.process_share": "no single process name holds more of the budget while others need it",
    "retention.min_free_disk_mb": "the disk is left at least this much;"
    " one below 2 GB no more than a tenth of itself",
    "retention.max_count": "no more incidents than this, the mildest and oldest go first; 0: as many as fit",
    "retention.max_profiles": "no more kept profiles of scripts than this, the oldest go; 0: as many as fit",
    "retention.ages": 'evidence that goes sooner: ["process=chrome:6h", "rule=cpu-hog:2d", "severity=1:12h"]',
    "events.max_events": "beyond so many the oldest go, of those that are samples or of no incident;"
    " 0: no limit",
    "events.max_age_h": "samples, and events of no incident, older than this go; 0: as `retention` has it",
    "events.url": 'where events are copied to: postgresql://… sqlite:////FOLDER/FILE; "": nowhere',
    "events.redact": "without secrets and people's names, as an export; false: as they are stored",
    "events.deadline_s": "a round of copying takes this long at most, and so does a question to the copy",
    "retention.policies": "own policies: names of entry points in monitord.retention_policies",
    "storage.url": 'where artefacts go: "" stays in the data directory; s3://… redis://… file:///…',
    "storage.compression_level": "zstd, 1 to 19; 0: everything is kept as it is",
    "storage.encryption_key": '"": none; file:/PATH, credential:NAME or environment:NAME hold 32 bytes',
    "storage.old_encryption_keys": "keys that still open what they encrypted, after a change of the key",
    "storage.spool_mb": "with a url: what waits for it here at most, when it does not answer",
    "storage.deadline_s": "with a url: one artefact's transfer with all its tries takes this long at most",
    "storage.cache_mb": "memory for artefacts read lately, in commands that stay; 0: none",
    "storage.cache_ttl_s": "nothing older is served from there",
    "storage.cache_eviction": "who goes first when it is full: lru, fifo, random, or an entry point's name",
    "storage.archive_url": 'where old captures\' bytes move to; "": nowhere',
    "storage.archive_after_h": "captures older than this move to the archive",
    "storage.archive_max_age_h": "with an archive evidence goes at this age instead of retention.max_age_h;"
    " 0: at that",
    "state.url": 'what assistants\' sessions share: "": a SQLite file; postgresql://… redis://… and others',
    "state.deadline_s": "a question to it takes this long at most",
    "analytics.warm_mb": "what the warm tier may take beside retention.max_total_mb; 0: there is none",
    "analytics.warm_days": "so many days stay in the warm tier, the newest",
    "analytics.cold_url": 'where days go on to from there: file:///… s3://… gs://… az://…; "": they go away',
    "analytics.duckdb_file": 'all views as one DuckDB file (*.duckdb) for other tools; "": none',
    "analytics.duckdb_every_h": "that file is written anew when it is older",
    "backup.folder": "where backups of the whole store go, one a run; on another disk, and yours alone",
    "backup.every_h": "a backup is made when the last one is older",
    "backup.keep": "so many good ones stay",
    "notify.receivers": "whom to tell, in [[notify.receivers]] tables: see docs/notifications.md",
    "notify.after_s": "an incident is told when its evidence is there, or after this long",
    "notify.fold_s": "further incidents of the same rule and program within this come as one message",
    "notify.daily_limit": "messages to each receiver in 24 hours; the rest comes as one",
    "notify.quiet_hours": 'local time, e.g. "22:00-07:00": what comes then is told as one message at its end',
    "notify.deadline_s": "a receiver that takes longer has failed, and is tried again",
    "metrics.textfile": 'figures for node_exporter, written every minute to this file (*.prom); "": none',
    "ship.url": 'the bucket of a fleet: s3://… gs://… az://… file:///…; "": nothing leaves',
    "ship.not_tables": "what stays of incidents, events, hotspots, process_minutes, machine_minutes",
    "ship.artefacts": "an incident's evidence goes there, too, as `export --bundle` writes it",
    "ship.redact": "without secrets and people's names, as an export; false: as it is stored",
    "ship.pseudonym": "the host is called by a random name there, not by its own",
    "ship.spool_mb": "files that wait here for the bucket at most, beside `retention.max_total_mb`",
    "ship.deadline_s": "one file's transfer with all its tries takes this long at most",
    "otlp.endpoint": 'where incidents and figures go by OTLP/HTTP, e.g. "http://localhost:4318"; "": nowhere',
    "otlp.headers": 'sent along, e.g. ["authorization=file:/etc/monitord/otlp"]: the file holds the value',
    "otlp.signals": "logs: a record an incident; metrics: the figures of docs/metrics.md;"
    " profiles (experimental): the stacks of incidents",
    "otlp.deadline_s": "a try that takes longer has failed, and is tried again",
    "fleet.url": 'the bucket that `monitord fleet` asks; "": that of `ship.url`',
    "fleet.download_mb": "so much of a bucket may come to this machine for one question",
    "log.level": "debug, info, warning or error",
    "log.style": "auto, logfmt or json; always on stderr",
}


def default_text() -> str:
    """A file in which every key stands commented out with its default, for `monitord config init`."""
    lines = ["# monitord: every key with its default. Uncomment what you change."]
    lines += ["# A URL may be where it stands instead: file:/PATH, credential:NAME, environment:NAME.", ""]
    defaults = msgspec.to_builtins(FileSettings())
    for section in (name for name in FileSettings.__struct_fields__ if name != "rules"):
        lines.append(f"[{section}]")
        for key, value in defaults[section].items():
            lines.append(f"# {key} = {_toml(value)}  # {COMMENTS[f'{section}.{key}']}")
        lines.append("")
    lines.append(
        "# The rules that come with monitord. A [[rules]] table with one of these names replaces it."
    )
    rules = DEFAULT_RULES_FILE.read_text(encoding="utf-8").splitlines()
    lines += [f"# {line}".rstrip() for line in rules]
    return "\n".join(lines) + "\n"


def json_schema() -> dict[str, Any]:
    """Return the file's JSON Schema (2020-12), for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "monitord configuration",
        **_with_units(msgspec.json.schema(FileSettings)),
    }


def _with_units(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema in which a number of seconds may be "10s", too, and one of MB "50MB"."""
    for definition in schema["$defs"].values():
        for key, value in definition.get("properties", {}).items():
            if has_unit(key):
                kept = {name: value.pop(name) for name in ("default",) if name in value}
                text = {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*[A-Za-z].*$"}
                definition["properties"][key] = {"anyOf": [value, text], **kept}
    return schema


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
