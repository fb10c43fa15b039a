"""A wheel carries the page's assets: one without them is refused. An editable install may have them later."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WITHOUT = "MONITORD_WITHOUT_ASSETS"
"""Set to 1: build without them; `monitord web` then says what is missing."""


class AssetsBuildHook(BuildHookInterface[Any]):
    """Looks before anything is packed."""

    def initialize(self, version: str, _build_data: dict[str, Any]) -> None:
        stamp = Path(self.root, "monitord", "web", "assets", "pinned.json")
        pinned = Path(self.root, "assets", "pinned.json")
        is_whole = stamp.is_file() and stamp.read_bytes() == pinned.read_bytes()
        if version == "editable" or is_whole or os.environ.get(WITHOUT) == "1":
            return
        sys.exit(
            "monitord: the page's assets are missing or of other versions; type `make assets` (needs npm),"
            f" or set {WITHOUT}=1 to build without the page of `monitord web`"
        )
