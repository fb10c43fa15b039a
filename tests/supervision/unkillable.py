"""Commands that nothing ends, as when the kernel holds them: for their supervisor SIGKILL does nothing."""

from __future__ import annotations

import marshal
from pathlib import Path

import pytest

from monitord import rights, supervision
from monitord.supervision import supervisor

_SIGNALS = "def _signal(pid: int, number: int) -> None:\n"


def make_unkillable(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on; the kernel itself ends a command at last, when its supervisor ends."""
    source = Path(supervisor.__file__).read_text()
    assert _SIGNALS in source
    source = source.replace(_SIGNALS, f"{_SIGNALS}    if number == signal.SIGKILL: return\n")
    texts = ((rights.__file__, Path(rights.__file__).read_text()), (supervisor.__file__, source))
    code = marshal.dumps([compile(text, name, "exec") for name, text in texts])
    monkeypatch.setattr(supervision, "compiled", lambda: len(code).to_bytes(4, "big") + code)
