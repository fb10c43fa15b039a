"""What was read or written lately, in memory, within limits."""


class CacheManager:
    """Holds what was read or written lately."""
