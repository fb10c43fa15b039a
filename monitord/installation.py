"""How this monitord was installed, and so what to type to add to it: pip is not everywhere.

pipx and uv keep tools in environments without pip, and a distribution's Python refuses it. What an extra
needs is asked of the installed metadata, because a copy that came from a checkout is on no index.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

_NAME = "monitord"


def install_command(extra: str, prefix: Path | None = None) -> str:
    """The line that adds what `extra` needs to this installation; `prefix` is its environment."""
    words = " ".join(shlex.quote(requirement) for requirement in _requirements(extra))
    return f"{_installer(Path(sys.prefix) if prefix is None else prefix)} {words}"


def reinstall_command(package: str, prefix: Path | None = None, *, upgrade: bool = False) -> str:
    """The line that installs a package of this installation anew, for one that is broken or too old."""
    installer = _installer(Path(sys.prefix) if prefix is None else prefix)
    if installer.startswith("pipx"):
        installer = f"pipx runpip {installer.rpartition(' ')[2]} install"
    anew = "--reinstall" if installer.startswith("uv") else "--force-reinstall"
    return f"{installer} {'--upgrade' if upgrade else anew} {package}"


def _installer(prefix: Path) -> str:
    python = shlex.quote(str(_python(prefix)))
    if (prefix / "pipx_metadata.json").exists():
        return f"pipx inject {prefix.name}"
    if (prefix / "uv-receipt.toml").exists() or not _has_pip(prefix):
        uv = "uv" if shutil.which("uv") or (prefix / "uv-receipt.toml").exists() else None
        return (
            f"{uv} pip install --python {python}"
            if uv
            else f"{python} -m ensurepip && {python} -m pip install"
        )
    if any(prefix.glob("lib*/python3*/EXTERNALLY-MANAGED")):
        return f"{python} -m pip install --break-system-packages"
    return f"{python} -m pip install"


def _python(prefix: Path) -> Path:
    """The environment's own interpreter: the link in it, not what it leads to."""
    own = prefix / "bin" / Path(sys.executable).name
    return own if own.exists() else Path(sys.executable)


def _has_pip(prefix: Path) -> bool:
    return any(
        any(prefix.glob(pattern))
        for pattern in ("lib*/python3*/site-packages/pip", "lib*/python3*/dist-packages/pip")
    )


def _requirements(extra: str) -> list[str]:
    """What the extra lists in the installed package; the extra itself where that is unknown."""
    from importlib.metadata import (  # 1.5 MB, only needed when something is missing
        PackageNotFoundError,
        requires,
    )

    try:
        listed = requires(_NAME) or []
    except PackageNotFoundError:
        listed = []
    marker = re.compile(rf"""extra\s*==\s*['"]{re.escape(extra)}['"]""")
    found = [each.partition(";")[0].strip() for each in listed if marker.search(each)]
    return found or [f"{_NAME}[{extra}]"]
