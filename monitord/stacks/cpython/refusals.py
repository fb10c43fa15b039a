"""Why there is no Python stack."""

from __future__ import annotations


class StackError(Exception):
    """There is no stack, for the reason that it says."""


class NotPythonError(StackError):
    """Nothing that the process has loaded is a CPython of version 3.7 or later."""


class UnknownLayoutError(StackError):
    """A CPython whose structures are not known here."""

    def __init__(self, version: str) -> None:
        super().__init__(f"the layout of {version} is not known")
        self.version = version


class UnreadableError(StackError):
    """What was read changed under the reader, or can't be read: the process is gone, or is another's."""


class ImpossibleStackError(StackError):
    """Frames that don't lead to a root, or don't fit each other: such a stack is dropped and counted."""
