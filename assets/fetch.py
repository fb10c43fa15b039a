"""Brings other makers' assets of the page into `monitord/web/assets/`: exact versions, checked before use.

npm only downloads (`npm pack`, from where its own configuration says): it installs nothing, runs no script.
What is there already in the pinned versions is left as it is, without asking anybody.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TARGET = HERE.parent / "monitord" / "web" / "assets"
PINNED = HERE / "pinned.json"
STAMP = "pinned.json"
_LARGEST_FILE_BYTES = 4 << 20


def are_there() -> bool:
    """Whether all assets are there, in the pinned versions."""
    stamp = TARGET / STAMP
    return stamp.is_file() and stamp.read_bytes() == PINNED.read_bytes()


def main() -> int:
    if are_there():
        return 0
    if shutil.which("npm") is None:
        print(
            "assets: npm is needed to download them; on Debian and Ubuntu: sudo apt install npm",
            file=sys.stderr,
        )
        return 1
    pinned: dict[str, Any] = json.loads(PINNED.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="monitord-assets-") as folder:
        made = Path(folder) / "assets"
        try:
            for name, about in pinned.items():
                _unpack(_download(name, about, Path(folder)), about["files"], made)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            print(f"assets: {error}", file=sys.stderr)
            return 1
        (made / STAMP).write_bytes(PINNED.read_bytes())
        shutil.rmtree(TARGET, ignore_errors=True)
        shutil.copytree(made, TARGET)
    print("assets:", ", ".join(f"{name} {about['version']}" for name, about in pinned.items()))
    return 0


def _download(name: str, about: dict[str, Any], folder: Path) -> Path:
    """The package's archive, whose checksum is the pinned one."""
    wanted = f"{name}@{about['version']}"
    command = ["npm", "pack", wanted, "--ignore-scripts", "--silent", "--pack-destination", folder]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    archive = folder / done.stdout.split()[-1]
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode("ascii")
    if not hmac.compare_digest(found, about["sha512"]):
        raise ValueError(
            f"{name} {about['version']} has another checksum than the pinned one; nothing was kept"
        )
    return archive


def _unpack(archive: Path, files: dict[str, list[str]], target: Path) -> None:
    """Take the named files alone; names in the archive are never paths here."""
    with tarfile.open(archive, "r:gz") as packed:
        for folder, names in files.items():
            (target / folder).mkdir(parents=True, exist_ok=True)
            for name in names:
                source = packed.extractfile(f"package/{name}")
                if source is None:
                    raise ValueError(f"{name} is no file in {archive.name}")
                ending = "" if "." in Path(name).name else ".txt"
                (target / folder / f"{Path(name).name}{ending}").write_bytes(source.read(_LARGEST_FILE_BYTES))


if __name__ == "__main__":
    sys.exit(main())
