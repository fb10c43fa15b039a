"""What is sent by OTLP at one go: incidents that were not taken yet, then figures, then profiles."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice

from monitord.actions import metrics, recorder
from monitord.actions.workspace import Workspace
from monitord.config.telling import OtlpSettings, check_endpoint
from monitord.errors import ConfigError, MonitordError, PermissionDeniedError
from monitord.metrics.otlp_client import NotTakenError, OtlpClient
from monitord.metrics.otlp_ledger import LEDGER_FILE, Ledger, note, open_ledger, untold
from monitord.metrics.otlp_messages import (
    LOGS,
    METRICS,
    logs_request,
    metrics_request,
    rejected_logs,
    require_extra,
)
from monitord.model import counted
from monitord.recorder.locks import hold
from monitord.recorder.status import moment_of
from monitord.storage.artefacts.secret_sources import held_url, read_source
from monitord.storage.views import IncidentView

LOCK_FILE = "otlp.lock"
_BATCH = 64
_BATCHES_AT_MOST = 20


def send(workspace: Workspace, pause: Callable[[float], object] = time.sleep) -> str:
    """Send what the configuration wants; returns what was sent, in words. Raises MonitordError."""
    require_extra()
    every = workspace.settings
    settings = every.otlp
    client = OtlpClient(_endpoint(settings), headers_of(settings), settings.deadline_s, pause)
    said = []
    with hold(workspace.data_dir / LOCK_FILE, "cannot send by OTLP: another sender is at it"):
        try:
            if "logs" in settings.signals:
                said.append(_send_incidents(workspace, client))
            if "metrics" in settings.signals:
                said.append(_send_figures(workspace, client))
            if "profiles" in settings.signals:  # last: not every collector takes them
                from monitord.actions.otlp_profiles import send_profiles

                said.append(send_profiles(workspace, every, client))
        except NotTakenError as error:
            raise MonitordError(f"cannot send to {settings.endpoint}: {error}") from error
    return ", ".join(said)


def _endpoint(settings: OtlpSettings) -> str:
    url = settings.endpoint
    if not url.startswith(("https:", "http:")):
        url = held_url(url, "the OTLP endpoint")
    try:
        check_endpoint(url)
    except ValueError as error:
        raise ConfigError(f"invalid {settings.endpoint}: {error}") from None
    return url


def headers_of(settings: OtlpSettings) -> dict[str, str]:
    """Read each header's value from where the configuration says; raises MonitordError."""
    held = {}
    for header in settings.headers:
        name, _, source = header.partition("=")
        try:
            value = read_source(source).decode("ascii").strip()
        except OSError as error:
            raise MonitordError(f"cannot read {source}: {error.strerror}") from error
        except UnicodeDecodeError:
            value = ""
        except (ConfigError, PermissionDeniedError) as error:
            raise MonitordError(f"cannot read {source}: {error}") from error
        if not value or not value.isprintable():
            raise MonitordError(f"invalid {source}: expected a header's value in one line of ASCII")
        held[name] = value
    return held


def _send_incidents(workspace: Workspace, client: OtlpClient) -> str:
    now = datetime.now(UTC)
    path = workspace.data_dir / LEDGER_FILE
    ledger = open_ledger(path, now)
    sent = rejected = 0
    words = ""
    with workspace.reader() as reader:
        waiting = untold(reader, ledger, now)
        for _ in range(_BATCHES_AT_MOST):
            batch = list(islice(waiting, _BATCH))
            if batch:
                taken, words = _post(client, batch, ledger)
                sent, rejected = sent + taken, rejected + len(batch) - taken
                note(path, ledger, batch, now)
            if len(batch) < _BATCH:
                break
    refused = f", {rejected} refused by it{f' ({words})' if words else ''}" if rejected else ""
    return f"{counted(sent, 'incident')}{refused}"


def _post(client: OtlpClient, batch: list[IncidentView], ledger: Ledger) -> tuple[int, str]:
    """Post a batch; of one that is bad data the halves, until the bad one stands alone and is left out."""
    try:
        rejected, words = rejected_logs(client.post(LOGS, logs_request(batch, ledger.key_of)))
        return len(batch) - min(rejected, len(batch)), words
    except NotTakenError as error:
        if not error.is_bad_data:
            raise
        if len(batch) == 1:
            return 0, str(error)
    middle = len(batch) // 2
    first, words = _post(client, batch[:middle], ledger)
    second, more = _post(client, batch[middle:], ledger)
    return first + second, words or more


def _send_figures(workspace: Workspace, client: OtlpClient) -> str:
    started_at = moment_of(recorder.status(workspace).get("started_at"))
    families = metrics.families(workspace)
    client.post(METRICS, metrics_request(families, datetime.now(UTC), started_at))
    return counted(len(families), "figure")
