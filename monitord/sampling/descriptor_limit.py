"""How many descriptors of /proc may stay open: what the hard limit gives, less what the daemon needs."""

from __future__ import annotations

import resource

_SPARE_DESCRIPTORS = 256
"""Left to the rest of the daemon: database, pipes of profilers, logs."""


def descriptors_to_keep_open() -> int:
    """Raise the limit of this process and return how many descriptors the sampler may keep."""
    return max(0, _raise_limit() - _SPARE_DESCRIPTORS)


def _raise_limit() -> int:
    """Raise the soft RLIMIT_NOFILE to the hard one (2^20 at most) and return what can be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1 << 20 if hard == resource.RLIM_INFINITY else min(hard, 1 << 20)
    if soft != resource.RLIM_INFINITY and soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted
