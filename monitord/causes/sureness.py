"""When who started most processes made the storm of them: for its cause and its incident's heading alike."""

from __future__ import annotations

from monitord.model import Confidence


def sureness_of_starter(most: int, second: int, whole: int, threads: int, *, is_whole: bool) -> Confidence:
    """Say how sure it is that who started `most` of `whole` processes is who made the storm.

    The kernel's number of starts, which raised it, counts threads, too: who began those may have made it.
    """
    whole, second = whole + threads, max(second, threads)
    if most >= 0.6 * whole:
        return "certain" if most >= 0.8 * whole and is_whole else "likely"
    return "possible" if most >= 1.5 * second else "unknown"
