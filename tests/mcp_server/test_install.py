"""What makes an assistant start the server: printed, or merged into its file without touching the rest."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from monitord.cli.mcp import Client
from tests.mcp_server.talking import command
from tests.mcp_server.test_stdio import HANDSHAKE, ask
from tests.patience import PATIENCE_S

KEYS = {Client.VSCODE: "servers"}


def install(data_dir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(data_dir, "install", *words), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@pytest.mark.parametrize("client", list(Client))
def test_what_it_prints_starts_a_server(tmp_path: Path, client: Client) -> None:
    """For each client, under the key it reads: a command that really answers."""
    said = install(tmp_path / "data", "--client", client.value)
    assert said.returncode == 0, said.stderr
    entry = json.loads(said.stdout)[KEYS.get(client, "mcpServers")]["monitord"]
    answers, _said = ask(
        [entry["command"], *entry["args"]], [*HANDSHAKE, {"jsonrpc": "2.0", "id": 1, "method": "ping"}]
    )
    assert answers[1]["result"] == {}


def test_it_merges(tmp_path: Path) -> None:
    """Other servers and settings stay, the file's mode and a link to it too; a second time changes nothing."""
    real = tmp_path / "real.json"
    real.write_text(json.dumps({"theme": "dünkel", "mcpServers": {"other": {"command": "x"}}}))
    real.chmod(0o600)
    link = tmp_path / "client.json"
    link.symlink_to(real)
    texts = []
    for _ in range(2):
        done = install(tmp_path / "data", "--client", "cursor", "--write", str(link))
        assert done.returncode == 0, done.stderr
        texts.append(real.read_text())
    held = json.loads(texts[0])
    assert texts[0] == texts[1]
    assert held["theme"] == "dünkel"
    assert held["mcpServers"]["other"] == {"command": "x"}
    assert "--allow-actions" not in held["mcpServers"]["monitord"]["args"]
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.glob("*json*")) == ["client.json", "real.json"]
    done = install(
        tmp_path / "data", "--client", "cursor", "--write", str(tmp_path / "new.json"), "--allow-actions"
    )
    assert done.returncode == 0
    made: Any = json.loads((tmp_path / "new.json").read_text())
    assert made["mcpServers"]["monitord"]["args"][-1] == "--allow-actions"


@pytest.mark.parametrize("text", ["{", "[1]", '{"mcpServers": []}', "[" * 100_000, '{"a": 1} // comment'])
def test_a_broken_file_stays_as_it_is(tmp_path: Path, text: str) -> None:
    """What is no JSON object, or holds another thing where servers belong: one line, nothing written."""
    path = tmp_path / "client.json"
    path.write_text(text)
    done = install(tmp_path / "data", "--client", "claude-code", "--write", str(path))
    assert done.returncode == 2
    assert "nothing was written" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert path.read_text() == text
