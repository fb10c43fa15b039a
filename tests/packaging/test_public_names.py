"""What the packages that load late offer: all of it is there, and nothing else."""

from __future__ import annotations

import importlib

import pytest

LATE = ["capture", "redaction", "storage", "storage.artefacts", "storage.events"]


@pytest.mark.parametrize("package", LATE)
def test_every_public_name_is_there(package: str) -> None:
    module = importlib.import_module(f"monitord.{package}")
    for name in module.__all__:
        value = getattr(module, name)
        assert getattr(module, name) is value
    assert set(module._HOMES) <= set(module.__all__)


@pytest.mark.parametrize("package", LATE)
def test_another_name_is_refused(package: str) -> None:
    module = importlib.import_module(f"monitord.{package}")
    with pytest.raises(AttributeError, match=f"'monitord.{package}' has no attribute 'nonsense'"):
        module.nonsense  # noqa: B018
