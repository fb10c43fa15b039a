"""What may stay how long, as policies."""


class LifecycleManager:
    """Applies policies."""
