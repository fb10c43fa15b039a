"""OTLP to a real receiver: every incident at least once under one id, figures, few tries, secrets out."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from monitord.actions import otlp
from monitord.actions.workspace import Workspace
from monitord.children import own_command
from monitord.config import load
from monitord.errors import ConfigError, MonitordError
from monitord.metrics.families import Exemplar, Point, labelled
from monitord.metrics.otlp_client import NotTakenError, OtlpClient
from monitord.metrics.otlp_ledger import LEDGER_FILE, SETTLED
from monitord.metrics.otlp_messages import _set, metrics_request
from monitord.storage import open_store
from tests.cli.conftest import make_incident
from tests.metrics.collector import Collector, attributes, collecting
from tests.metrics.conftest import HOSTILE
from tests.patience import PATIENCE_S

SECRET = "Bearer s3cr3t-t0ken"


@pytest.fixture
def workspace(recorded: Path, tmp_path: Path) -> Workspace:
    """Three incidents of five minutes ago, and an endpoint that was configured before."""
    begun = datetime.now(UTC) - timedelta(hours=1)
    (recorded / LEDGER_FILE).write_text(json.dumps({"since": begun.isoformat(), "sent": {}}))
    return Workspace(recorded, tmp_path / "config.toml")


def send(workspace: Workspace, collector: Collector, *lines: str) -> tuple[str, list[float]]:
    """Send once; what was said, and the pauses that were made."""
    assert workspace.config_path is not None
    text = ["[otlp]", f'endpoint = "{collector.endpoint}"', *lines]
    if not any(line.startswith("deadline_s") for line in lines):
        text.append("deadline_s = 15")  # the most that there is: a crowded machine is slow
    workspace.config_path.write_text("\n".join(text))
    pauses: list[float] = []
    return otlp.send(workspace, pauses.append), pauses


@pytest.mark.parametrize("length", [b"-5", b"zz", b"f" * 5000])
def test_an_answer_in_chunks_of_no_length_is_no_answer(length: bytes) -> None:
    """In one line, as whatever else is no HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _address = server.accept()
            with connection:
                connection.recv(65536)
                head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                connection.sendall(head + length + b"\r\nhello\r\n")
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):  # else the kernel resets what was not read to its end
                    pass

        answering = threading.Thread(target=lambda: [answer() for _try in range(3)], daemon=True)
        answering.start()
        client = OtlpClient(f"http://127.0.0.1:{server.getsockname()[1]}", {}, PATIENCE_S, lambda _s: None)
        with pytest.raises(NotTakenError, match="answered no HTTP"):
            client.post("/v1/logs", b"x")
        answering.join(PATIENCE_S)


def test_incidents_and_figures_arrive_once_and_are_decoded_by_the_protocols_own_definitions(
    workspace: Workspace,
) -> None:
    """A record an incident with its id, rule, function and sentence; a second run sends only figures."""
    with collecting() as collector:
        said, _ = send(workspace, collector)
        again, _ = send(workspace, collector)
    assert said.startswith("3 incidents, ")
    assert again.startswith("0 incidents, ")
    assert len(set(collector.ids)) == len(collector.ids) == 3
    (first, *_) = collector.records
    told = attributes(first)
    assert told["monitord.rule"] == "cpu-hog"
    assert told["code.function.name"] == "fibonacci"
    assert told["process.pid"] == 4321
    assert (first.severity_text, first.event_name) == ("WARN", "monitord.incident")
    assert first.body.string_value
    resource = attributes(collector.logs[0].resource_logs[0].resource)
    assert resource["service.name"] == "monitord"
    assert "\n" not in told["process.executable.name"]


def test_figures_are_what_the_page_says_with_types_units_and_exemplars(workspace: Workspace) -> None:
    """Counters are cumulative since the recorder began; gauges have a unit; no label is a process's word."""
    with collecting() as collector:
        send(workspace, collector)
    (request,) = collector.metrics
    found = {metric.name: metric for metric in request.resource_metrics[0].scope_metrics[0].metrics}
    counted = found["monitord_incidents"].sum
    by_rule = {attributes(point)["rule"]: point for point in counted.data_points}
    assert counted.is_monotonic
    assert counted.aggregation_temporality == 2
    assert by_rule["cpu-hog"].as_double == 2
    assert by_rule["cpu-hog"].start_time_unix_nano > 0
    exemplar = by_rule["cpu-hog"].exemplars[0]
    assert len(attributes(exemplar, "filtered_attributes")["incident_id"]) > 8
    assert found["monitord_resident_memory_bytes"].unit == "By"
    assert found["monitord_notify_sent"].sum.data_points[0].start_time_unix_nano == 0
    taken = found["monitord_storage_operation_duration_seconds"].summary.data_points[0]
    assert (taken.count, taken.sum) == (2, 0.5)
    assert b"evil" not in collector.bodies[-1]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_is_tried_again_a_few_times_with_the_same_bytes(
    status: int, workspace: Workspace
) -> None:
    """At most three tries; Retry-After is obeyed within bounds."""
    answers = [(status, {"Retry-After": "7"}), (status, {"Retry-After": "86400"})]
    with collecting(answers=answers) as collector:
        _, pauses = send(workspace, collector)
    assert pauses == [7.0, 10.0]
    assert len(collector.records) == 3
    assert collector.bodies[0] == collector.bodies[1] == collector.bodies[2]


def test_an_endpoint_that_stays_away_costs_three_tries_and_no_incident(workspace: Workspace) -> None:
    """The reason is said; when it is back, all that waited comes."""
    with collecting(answers=[503] * 3) as collector:
        with pytest.raises(MonitordError, match=r"cannot send to http://127\.0\.0\.1:\d+/\w+: answered 503"):
            send(workspace, collector)
        assert len(collector.requests) == 3
        send(workspace, collector)
        assert len(collector.records) == 3


@pytest.mark.parametrize("status", [301, 401, 403, 404, 500])
def test_what_will_not_pass_is_tried_once_and_loses_nothing(status: int, workspace: Workspace) -> None:
    """A wrong password or path is the owner's to mend: nothing is given up for it."""
    with collecting(answers=[(status, {"Location": "http://127.0.0.1:1/"})]) as collector:
        with pytest.raises(MonitordError, match=f"answered {status}"):
            send(workspace, collector)
        assert len(collector.requests) == 1
        send(workspace, collector)
        assert len(collector.records) == 3


def test_one_incident_that_is_refused_for_good_keeps_no_other_back(workspace: Workspace) -> None:
    """A batch that is bad data is halved until the bad one is alone; it is counted, and not sent again."""
    with closing(open_store(workspace.data_dir)) as store:
        store.save_incident(make_incident(name="poison"))
    with collecting(refuses_word="poison") as collector:
        said, _ = send(workspace, collector, 'signals = ["logs"]')
        count = len(collector.requests)
        assert said == "3 incidents, 1 refused by it (answered 400)"
        assert send(workspace, collector, 'signals = ["logs"]')[0] == "0 incidents"
        assert len(collector.requests) == count
        assert len(set(collector.ids)) == 3


def test_a_partial_success_is_said_and_not_sent_again(workspace: Workspace) -> None:
    """As the protocol wants it; the endpoint's words are printable."""
    with collecting(rejected=1) as collector:
        said, _ = send(workspace, collector)
        assert said.startswith("2 incidents, 1 refused by it (too\\x1b[31m old), ")
        assert send(workspace, collector)[0].startswith("0 incidents, ")


def test_an_endpoint_that_sends_a_byte_now_and_then_is_left_in_time(workspace: Workspace) -> None:
    """The deadline is of a whole try, not of each read."""
    with collecting(trickles=True) as collector:
        with pytest.raises(MonitordError, match="did not answer within 1 s"):
            send(workspace, collector, "deadline_s = 1")
        assert len(collector.requests) == 3


def test_an_endpoint_that_shakes_hands_until_the_deadline_gets_no_more_time(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends a try has nothing to end while a connection is made: its end is seen afterwards."""
    connect = http.client.HTTPConnection.connect

    def connect_late(connection: http.client.HTTPConnection) -> None:
        began_s = time.monotonic()
        while time.monotonic() < began_s + 1.1:  # beyond the deadline, as a slow handshake is
            time.sleep(0.01)
        connect(connection)

    monkeypatch.setattr(http.client.HTTPConnection, "connect", connect_late)
    with collecting(trickles=True) as collector:
        with pytest.raises(MonitordError, match="did not answer within 1 s"):
            send(workspace, collector, "deadline_s = 1")
        assert collector.requests == []


@pytest.mark.parametrize("year", [1, 1960, 2600, 9999])
def test_no_moment_and_no_number_of_an_incident_keeps_the_others_back(year: int) -> None:
    """Beyond what the protocol has room for a moment is its last one, and a number is left out."""
    moment = datetime(year, 1, 2, tzinfo=UTC)
    exemplar = Exemplar("incident_id", "x", 1.0, moment)
    family = labelled("x", "counter", "X.", ["rule"], [Point(("a",), 1.0, exemplar=exemplar)])
    sent = ExportMetricsServiceRequest.FromString(metrics_request([family], moment, moment))
    assert sent.resource_metrics[0].scope_metrics[0].metrics[0].name == "x"
    for number, is_told in ((2**63 - 1, True), (2**63, False), (-(2**70), False)):
        attributes = LogRecord().attributes
        _set(attributes, {"code.line.number": number})
        assert bool(attributes) is is_told


def test_a_crash_before_the_note_sends_again_under_the_same_ids(workspace: Workspace) -> None:
    """At least once: what a backend gets twice it can tell by log.record.uid, byte for byte the same."""
    with collecting() as collector:
        with pytest.raises(MonitordError):
            send(workspace, Collector(port=9), 'signals = ["logs"]')  # nobody is there: nothing is sent
        before = (workspace.data_dir / LEDGER_FILE).read_bytes()
        send(workspace, collector, 'signals = ["logs"]')
        (workspace.data_dir / LEDGER_FILE).write_bytes(before)  # as after kill -9 between answer and note
        send(workspace, collector, 'signals = ["logs"]')
    assert sorted(collector.ids[:3]) == sorted(collector.ids[3:])
    assert collector.bodies[0] == collector.bodies[1]


def test_a_name_has_the_same_stand_in_when_it_comes_again(workspace: Workspace) -> None:
    """Stand-ins are of the incident's own key, kept with what was sent: the bytes are the same for ever."""
    with closing(open_store(workspace.data_dir)) as store:
        store.save_incident(make_incident(user="wolfgang", reason="/home/wolfgang/run.py took 97 %"))
    with collecting() as collector:
        send(workspace, collector, 'signals = ["logs"]')
        ledger = json.loads((workspace.data_dir / LEDGER_FILE).read_bytes())
        (workspace.data_dir / LEDGER_FILE).write_text(json.dumps({**ledger, "sent": {}}))
        send(workspace, collector, 'signals = ["logs"]')
    assert collector.bodies[0] == collector.bodies[1]
    assert not any(b"wolfgang" in body for body in collector.bodies)
    assert sum(b"user-" in body for body in collector.bodies) == 2


def test_what_was_stored_before_it_was_configured_is_not_sent(workspace: Workspace) -> None:
    """Nor is what came a moment ago, whose evidence may still come; it is sent later."""
    (workspace.data_dir / LEDGER_FILE).unlink()
    with collecting() as collector:
        send(workspace, collector)
        with closing(open_store(workspace.data_dir)) as store:
            store.save_incident(make_incident(at=datetime.now(UTC)))
        assert send(workspace, collector)[0].startswith("0 incidents")
        ledger = json.loads((workspace.data_dir / LEDGER_FILE).read_bytes())
    assert datetime.now(UTC) - datetime.fromisoformat(ledger["since"]) < SETTLED * 3


def test_secrets_go_along_in_headers_and_nowhere_else(workspace: Workspace, tmp_path: Path) -> None:
    """The header arrives; neither errors nor the configuration as shown hold its value."""
    token = tmp_path / "token"
    token.write_text(f"{SECRET}\n")
    token.chmod(0o600)
    header = f'headers = ["authorization=file:{token}"]'
    with collecting() as collector:
        send(workspace, collector, header)
    assert all(headers["authorization"] == SECRET for _path, headers in collector.requests)
    assert SECRET not in json.dumps(workspace.settings.as_dict(), default=str)
    token.chmod(0o644)
    with collecting() as collector, pytest.raises(MonitordError, match="others may read it") as refused:
        send(workspace, collector, header)
    assert SECRET not in str(refused.value)
    token.write_text("a\r\nX-Evil: 1")
    token.chmod(0o600)
    with collecting() as collector, pytest.raises(MonitordError, match="in one line of ASCII"):
        send(workspace, collector, header)


def test_command_lines_are_redacted_as_in_an_export(workspace: Workspace) -> None:
    """What an export hides, no record holds."""
    with closing(open_store(workspace.data_dir)) as store:
        words = ("python3", "/srv/app.py", "--password", "hunter2hunter2")
        store.save_incident(make_incident(command_line=words, reason="cpu by --password hunter2hunter2"))
    with collecting() as collector:
        send(workspace, collector)
    assert len(collector.records) == 4
    assert not any(b"hunter2" in body for body in collector.bodies)
    assert not any(HOSTILE.encode() in body for body in collector.bodies)


def test_the_errand_says_how_it_went(workspace: Workspace) -> None:
    """A real child, as the recorder starts it."""
    with collecting() as collector:
        send(workspace, collector)
        words = own_command("monitord.actions.metrics_errand", "otlp")
        places = ["--data-dir", str(workspace.data_dir), "--config", str(workspace.config_path)]
        child = subprocess.Popen([*words, *places], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdin is not None
        assert child.stdout is not None
        with child.stdin, child.stdout:
            answer = json.loads(child.stdout.read().splitlines()[-1])
            child.wait(PATIENCE_S)
    assert answer["outcome"] == "ok"
    assert answer["detail"].startswith("sent 0 incidents, ")


@pytest.mark.parametrize(
    "line",
    [
        'endpoint = "http://collector.example:4318"',
        'endpoint = "https://user:pass@collector.example"',
        'endpoint = "grpc://localhost:4317"',
        'endpoint = "https://"',
        'endpoint = "https://x.example:99999"',
        'endpoint = "https://x.example/?key=1"',
        'headers = ["authorization=Bearer abc"]',
        'headers = ["bad name=file:/x"]',
        'signals = ["traces"]',
    ],
)
def test_what_can_not_work_or_would_leak_is_refused(line: str, tmp_path: Path) -> None:
    """In clear over a network, with a secret in the file, or to nowhere: with the key and what is expected."""
    (tmp_path / "c.toml").write_text(f"[otlp]\n{line}\n")
    with pytest.raises(ConfigError, match=r"invalid otlp.*expected") as refused:
        load(tmp_path / "c.toml", {})
    assert "pass@" not in str(refused.value)
    assert "Bearer abc" not in str(refused.value)
