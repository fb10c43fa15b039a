"""The one thing that can go wrong with evidence: it can't be read."""

from monitord.errors import MonitordError


class ProfileError(MonitordError):
    """The evidence is not a profile of this format, or more than will be read."""
