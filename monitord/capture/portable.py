"""psutil, for the platforms without /proc; it has no annotations, so it is taken as it is."""

from __future__ import annotations

import importlib
from typing import Any

psutil: Any = importlib.import_module("psutil")
