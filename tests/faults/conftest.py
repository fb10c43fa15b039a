"""Faults are injected into a real daemon: the same fixture as the flow's."""

from tests.flow.conftest import recorder

__all__ = ["recorder"]
