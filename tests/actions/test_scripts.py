"""Profiles of scripts that are kept."""

from __future__ import annotations

from pathlib import Path

from monitord.actions import scripts
from monitord.actions.artefacts import list_artefacts
from monitord.actions.workspace import Workspace
from monitord.scripts.request import ScriptRequest
from monitord.scripts.run import RunPlan, Watcher
from monitord.storage.artefacts.keyring import new_key


def test_a_kept_profile_is_encrypted_as_all_other_evidence(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(new_key())
    key.chmod(0o600)
    config = tmp_path / "config.toml"
    config.write_text(f'[storage]\nencryption_key = "file:{key}"\n')
    script = tmp_path / "job.py"
    script.write_text("import time\nend = time.time() + 1\nwhile time.time() < end:\n    sum(range(1000))\n")
    workspace = Workspace(tmp_path / "data", config)
    done = scripts.profile(workspace, ScriptRequest(str(script)), RunPlan(), Watcher(), keep=True)
    assert done.result is not None
    held = list(list_artefacts(workspace, ""))
    assert held
    assert all(each.metadata is not None and each.metadata.encryption is not None for each in held)
