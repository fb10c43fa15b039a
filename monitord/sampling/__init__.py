"""How the machine and its processes are, now. Cheap totals every tick; processes when they could matter."""

from monitord.sampling.details import known_users
from monitord.sampling.sampler import Sampler, key_of, observe

__all__ = ["Sampler", "key_of", "known_users", "observe"]
