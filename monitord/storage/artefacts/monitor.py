"""How the keeping of artefacts goes: counts, health, and an alert once when something fails."""


class StorageMonitor:
    """Counts what passes through a provider."""
