"""Writes a profile as folded stacks, which flame graph tools and `folded` read."""

from __future__ import annotations

from monitord.profiles.frame_text import encodable, one_word, spell_frame
from monitord.profiles.limits import MAX_VALUE
from monitord.profiles.representation import Profile
from monitord.profiles.writing import About


def write_folded(profile: Profile) -> str:
    """Give the profile as folded stacks, heaviest first, threads as root frames `thread (ID): NAME`.

    The form holds whole numbers only: other values are rounded, and what rounds to 0 is left out.
    """
    counts: dict[str, int] = {}
    for (thread, indices), value in profile.stacks.items():
        words = [spell_frame(profile.frames[index]) for index in indices]
        if thread.thread_id is not None or thread.name:
            words.insert(0, one_word(f"thread ({thread.thread_id or 0}): {thread.name or ''}").rstrip())
        stack = ";".join(words)
        counts[stack] = counts.get(stack, 0) + min(round(value), MAX_VALUE)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return "".join(f"{stack} {count}\n" for stack, count in ranked if count)


def write_folded_bytes(profile: Profile, about: About) -> bytes:  # the form has no place for it
    """Write the folded form as bytes; bytes that are not UTF-8 are written `\\\\xNN`."""
    return encodable(write_folded(profile)).encode("utf-8")
