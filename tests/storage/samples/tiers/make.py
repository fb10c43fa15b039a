"""Writes `data.zip`: three data directories as commit 052c54b left them, with artefacts in every state.

Run it in a checkout of that commit: python make.py NEW_FOLDER DATA_ZIP. It needs that commit's own code and
tests. `sent` has `storage.url`, `archived` has `storage.archive_url`, `both` has both; the folders that these
name lie beside the data.
"""
# ruff: noqa: I001  that commit had other modules

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import zipfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from monitord import config
from monitord.config import Settings
from monitord.daemon import courier
from monitord.daemon.holdings import near_holdings, whole_holdings
from monitord.model import Incident
from monitord.storage import StoreReader, open_store
from tests.fakes import a_capture, an_alert

SEALING_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


class Directory:
    """One data directory, the folders that its settings name, and its configuration."""

    def __init__(self, above: Path, name: str, *settings: str) -> None:
        self.above, self.name, self.names = above / name, name, settings
        self.data = self.above / "data"
        for setting in settings:
            (self.above / setting).mkdir(parents=True, mode=0o700)
        self.key_file = self.above / "key"
        self.key_file.write_text(SEALING_KEY)
        self.key_file.chmod(0o600)
        self.deleted: list[str] = []

    def settings(self, *, sealed: bool) -> Settings:
        lines = ["[retention]", "min_free_disk_mb = 0", "[storage]", "spool_mb = 10"]
        lines += [f'{name} = "file://{self.above / name}"' for name in self.names]
        lines += ["archive_after_h = 0"]
        lines += [f'encryption_key = "file:{self.key_file}"'] if sealed else []
        path = self.above / "config.toml"
        path.write_text("\n".join([*lines, ""]))
        return config.load(path, env={}).settings

    def save(self, *names: str, sealed: bool = False) -> None:
        with closing(
            open_store(self.data, open_holdings=near_holdings(self.settings(sealed=sealed)))
        ) as store:
            for name in names:
                text = "".join(f"main;{name};line_{n % 7} {n}\n" for n in range(60)).encode()
                captures = (a_capture("dump"), replace(a_capture("profile"), payload=text))
                store.save_incident(Incident(name, an_alert(), None, captures=captures))

    def delete(self, name: str) -> None:
        with closing(open_store(self.data, open_holdings=near_holdings(self.settings(sealed=True)))) as store:
            store.delete_incident(name)
            self.deleted.append(name)

    def pin(self, name: str) -> None:
        with closing(open_store(self.data, open_holdings=near_holdings(self.settings(sealed=True)))) as store:
            store.pin(name)

    def send(self) -> None:
        assert courier.run(self.settings(sealed=True), self.data)

    def readable(self) -> dict[str, str]:
        """Each artefact that a row names, with the checksum of its plain bytes, as the old code reads it."""
        opener = whole_holdings(self.settings(sealed=True))
        with StoreReader(self.data, opener) as reader:
            keys = sorted(reader.artefact_keys())
            return {key: hashlib.sha256(reader.artefact(key)[1]).hexdigest() for key in keys}


def make_sent(above: Path) -> Directory:
    """Sent, sealed and sent, waiting, half sent, written anew, deleted here and still far away."""
    made = Directory(above, "sent", "url")
    made.save("aaaaaaaaaaa1", "aaaaaaaaaaa2", "aaaaaaaaaaa3")
    made.save("aaaaaaaaaaa4", "aaaaaaaaaaa5", sealed=True)
    made.send()
    made.delete("aaaaaaaaaaa2")
    made.pin("aaaaaaaaaaa3")  # its incident's artefact waits again, the older one is far away
    made.save("aaaaaaaaaaa6")
    made.save("aaaaaaaaaaa7", sealed=True)
    made.save("aaaaaaaaaaa8")
    for path in (made.data / "artefacts").glob("*aaaaaaaaaaa8-*"):  # killed before the local copy went
        shutil.copy2(path, made.above / "url" / path.name)
    return made


def make_archived(above: Path) -> Directory:
    """Archived, sealed and archived, young, half archived, deleted here and still in the archive."""
    made = Directory(above, "archived", "archive_url")
    made.save("bbbbbbbbbbb1", "bbbbbbbbbbb2", "bbbbbbbbbbb3")
    made.save("bbbbbbbbbbb4", "bbbbbbbbbbb5", sealed=True)
    waiting = {path: path.read_bytes() for path in (made.data / "artefacts").glob("*bbbbbbbbbbb3-*profile*")}
    made.send()
    for path, data in waiting.items():  # killed before the pointer took its place
        path.write_bytes(data)
        path.chmod(0o600)
    made.delete("bbbbbbbbbbb2")
    made.pin("bbbbbbbbbbb1")
    made.save("bbbbbbbbbbb6")
    made.save("bbbbbbbbbbb7", sealed=True)
    return made


def make_both(above: Path) -> Directory:
    """Sent and archived from there, sealed too, waiting, deleted here and still in both."""
    made = Directory(above, "both", "url", "archive_url")
    made.save("ccccccccccc1", "ccccccccccc2")
    made.save("ccccccccccc3", sealed=True)
    made.send()
    made.delete("ccccccccccc2")
    made.pin("ccccccccccc1")
    made.save("ccccccccccc4")
    return made


def main() -> None:
    above, target = Path(sys.argv[1]), Path(sys.argv[2])
    told = {}
    for made in (make_sent(above), make_archived(above), make_both(above)):
        told[made.name] = {"artefacts": made.readable(), "deleted": made.deleted}
        (made.above / "config.toml").unlink()
        for name in ("courier.json", "monitord.db-wal", "monitord.db-shm"):
            (made.data / name).unlink(missing_ok=True)
    (above / "expected.json").write_text(json.dumps(told, indent=1))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(above.rglob("*")):
            archive.write(path, path.relative_to(above))


if __name__ == "__main__":
    main()
