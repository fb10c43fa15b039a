"""The page of figures: real servers on a port, at a path and on a socket of systemd's; a real Prometheus asks."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote

from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from monitord.metrics.page import MetricsPage
from monitord.metrics.prometheus import written
from tests.metrics.conftest import HOSTILE
from tests.metrics.serving import ask, served
from tests.patience import PATIENCE_S

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}


def host_of(where: str) -> str:
    return where.removeprefix("http://").removesuffix("/metrics")


def test_figures_are_served_in_both_forms_and_judged_by_their_owners(
    recorded: Path, require_tool: Callable[[str], str]
) -> None:
    """promtool finds nothing to say about the text; OpenMetrics is parsed and has the incident as exemplar."""
    with served(recorded, "--port", "0") as where:
        plain = ask(host_of(where))
        rich = ask(host_of(where), headers=OPENMETRICS)
    judged = subprocess.run(
        [require_tool("promtool"), "check", "metrics"], input=plain.text, capture_output=True, text=True
    )
    assert (judged.returncode, judged.stdout + judged.stderr) == (0, "")
    assert plain.content_type.startswith("text/plain")
    assert rich.content_type.startswith("application/openmetrics-text")
    counted = {family.name: family for family in read_openmetrics(rich.text)}["monitord_incidents"]
    by_rule = {sample.labels["rule"]: sample for sample in counted.samples}
    assert by_rule["cpu-hog"].value == 2
    assert by_rule["cpu-hog"].exemplar is not None
    assert len(by_rule["cpu-hog"].exemplar.labels["incident_id"]) > 8
    for text in (plain.text, rich.text):
        assert "evil" not in text
        assert HOSTILE not in text


def test_only_this_machines_names_get_an_answer(recorded: Path) -> None:
    """A page of somebody else's that leads a browser here gets nothing; nor do other pages and methods."""
    with served(recorded, "--port", "0") as where:
        host = host_of(where)
        assert ask(host, headers={"Host": "evil.example"}).status == 421
        assert ask(host, "/").status == 404
        assert ask(host, method="POST").status == 405
        assert ask(host, method="HEAD").text == ""
        assert ask(f"localhost:{host.rpartition(':')[2]}").status == 200


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60))
@example("application/openmetrics-text;version=x")
@example("text/plain;version=--;escaping=values")
def test_whatever_is_accepted_there_are_two_forms(words: str) -> None:
    """Who asks chooses between them, and neither makes us fail nor look at the store once more."""
    made: list[str] = []

    def make(form: str) -> tuple[bytes, str]:
        made.append(form)
        return written((), form)

    page = MetricsPage(make, None, clock=lambda: 0.0)
    asked = [words, f"application/openmetrics-text;{words}", f"{words};application/openmetrics-text", words]
    answers = [_answered(page, accept) for accept in asked]
    assert {status for status, _type in answers} == {200}
    assert len(made) <= 2
    assert {kind.split(";")[0] for _status, kind in answers} <= {"text/plain", "application/openmetrics-text"}


def _answered(page: MetricsPage, accept: str) -> tuple[int, str]:
    """The status and the content type of one answer."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [(b"accept", accept.encode("latin-1"))]
    scope = {"type": "http", "path": "/metrics", "method": "GET", "headers": headers}
    asyncio.run(page(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"])[b"content-type"].decode()


def test_too_many_questions_are_refused_and_cost_nothing(recorded: Path) -> None:
    """Beyond what anybody needs the answer is 429, from no look at the store."""
    with served(recorded, "--port", "0") as where:
        answers = {ask(host_of(where)).status for _ in range(140)}
    assert answers == {200, 429}


def test_a_unix_socket_is_its_owners_and_gone_at_the_end(recorded: Path, tmp_path: Path) -> None:
    """For a proxy: any name asks there, and no file is left."""
    path = tmp_path / "figures.sock"
    with served(recorded, "--socket", str(path)) as where:
        assert where == str(path)
        assert oct(path.stat().st_mode & 0o777) == "0o600"
        assert "monitord_up 1.0" in ask(path, headers={"Host": "proxy.example"}).text
    assert not path.exists()


def test_a_socket_that_systemd_passes_is_served(recorded: Path) -> None:
    """As sd_listen_fds(3) says; where it leads is its unit's to say."""
    with socket.create_server(("127.0.0.1", 0)) as passed:
        port = passed.getsockname()[1]
        with served(recorded, "--port", "0", passed=passed):
            assert "monitord_up 1.0" in ask(f"127.0.0.1:{port}", headers={"Host": "any.example"}).text


def test_without_a_recorder_or_a_store_the_page_says_so(tmp_path: Path) -> None:
    """Nothing is there: an answer all the same, with what alerts need."""
    with served(tmp_path / "nothing", "--port", "0") as where:
        text = ask(host_of(where)).text
    assert "monitord_up 0.0" in text
    assert "monitord_store_readable 0.0" in text


def test_a_real_prometheus_scrapes_it_and_leads_to_the_incident(
    recorded: Path, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """The scrape is well, the counter arrives under its rule, and its exemplar has the id for `show`."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with served(recorded, "--port", "0") as where:
        scrape = {"job_name": "monitord", "static_configs": [{"targets": [host_of(where)]}]}
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
        (tmp_path / "prometheus.yml").write_text(json.dumps(config))
        argv = [require_tool("prometheus"), f"--config.file={tmp_path}/prometheus.yml"]
        argv += [f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address=127.0.0.1:{port}"]
        log = (tmp_path / "prometheus.log").open("wb")
        server = subprocess.Popen(
            [*argv, "--enable-feature=exemplar-storage"], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            up = _until(port, 'query?query=up{job="monitord"}', lambda found: found["result"])
            assert up["result"][0]["value"][1] == "1", (tmp_path / "prometheus.log").read_text()
            query = quote('monitord_incidents_total{rule="cpu-hog"}')
            found = _until(port, f"query?query={query}", lambda found: found["result"])
            assert found["result"][0]["value"][1] == "2"
            window = f"start={time.time() - 3600}&end={time.time() + 60}"
            shown = _until(port, f"query_exemplars?query={query}&{window}", bool)
            assert "incident_id" in shown[0]["exemplars"][0]["labels"]
        finally:
            server.terminate()
            server.wait(PATIENCE_S)
            log.close()


def _until(port: int, path: str, is_there: Callable[[object], object]) -> object:
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}") as answer:
                data = json.load(answer)["data"]
        except (URLError, ConnectionError):
            data = None
        if data and is_there(data):
            return data
        time.sleep(0.1)
    raise AssertionError(f"nothing came for {path}")
