"""One form for every tool's stacks: a table of frames, and how often each stack was seen in each thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monitord.profiles.idle_calls import runs_what_it_was_given

UNKNOWN = "[unknown]"
OUTER_LEFT_OUT = "[outer frames left out]"
OTHER_STACKS = "[other stacks]"
RING = "ring"


@dataclass(frozen=True, slots=True)
class Frame:
    """One place in a program. `kind` is python, native or kernel.

    `name` is qualified where the tool gives it so (Python ≥ 3.11). `line` is the line that ran, from 1;
    None when unknown. `module` is the binary of a native frame.
    """

    name: str
    file: str | None = None
    line: int | None = None
    module: str | None = None
    kind: str = "python"


@dataclass(frozen=True, slots=True)
class Thread:
    """The label of a stack: who ran it, and whether it only waited (by the tool's flag or its last call)."""

    name: str | None = None
    thread_id: int | None = None
    pid: int | None = None
    is_idle: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """The stacks that an artefact holds.

    `stacks` maps (thread, frame numbers from the root to the leaf) to a value in `unit`: the number of
    samples, or bytes, or seconds. `sample_count` is the number of samples in any unit. `errors` counts
    samples that the tool or the parser could not read; `notes` says what was left out and why. `looks`: how
    often somebody really looked, where one look stands for several samples.
    """

    tool: str
    frames: list[Frame]
    stacks: Mapping[tuple[Thread, tuple[int, ...]], int | float]
    sample_count: int
    unit: str = "samples"
    period_s: float | None = None
    errors: int = 0
    notes: tuple[str, ...] = field(default=())
    looks: int | None = None

    @property
    def total(self) -> int | float:
        """The sum of all values, in `unit`."""
        return sum(self.stacks.values())

    def own_frame(self, stack: Sequence[int]) -> int:
        """Return the frame that a stack's own time counts to: the leaf; of the black box `python_or_leaf`."""
        return python_or_leaf(self.frames, stack) if self.tool == RING else stack[-1]


def python_or_leaf(frames: Sequence[Frame], stack: Sequence[int]) -> int:
    """Return the innermost frame of Python, without one the leaf.

    The black box knows compiled code below the Python function that called it, py-spy does not; in both that
    function is what was busy, so that one program looks the same to either. A thread or a pool that was given
    compiled code to run has no such function.
    """
    python = next((index for index in reversed(stack) if frames[index].kind == "python"), stack[-1])
    return stack[-1] if runs_what_it_was_given(frames[python].name, frames[python].file) else python
