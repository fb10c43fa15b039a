"""The tree of a flame graph: equal ways from the root are one node; of two profiles, one tree for both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from monitord.profiles.representation import Frame, Profile, Thread
from monitord.profiles.speedscope_writer import thread_title

MAX_NODES = 20_000
_LEAST_SHARE = 0.0005  # narrower than a pixel on any screen, until one zooms in
FunctionKey = tuple[str, str, str]


@dataclass(slots=True)
class Node:
    """One function called in one way. Values are of the profile and of the one before it."""

    function: FunctionKey
    total: float = 0.0
    own: float = 0.0
    total_before: float = 0.0
    children: dict[FunctionKey, Node] = field(default_factory=dict)

    @property
    def weight(self) -> float:
        return max(self.total, self.total_before)


@dataclass(frozen=True, slots=True)
class FlatNode:
    """A node as it is written: its parent's number (-1: none), its function's, and its values."""

    parent: int
    function: int
    total: float
    own: float
    total_before: float


@dataclass(frozen=True, slots=True)
class FlameTree:
    """Nodes, parents before children, and the functions they name. `left_out` nodes were too narrow."""

    functions: Sequence[FunctionKey]
    nodes: Sequence[FlatNode]
    total: float
    total_before: float | None
    left_out: int


def grow(profile: Profile, before: Profile | None = None) -> FlameTree:
    """Make the tree; with `before`, each node knows what it had there, scaled to the whole of `profile`."""
    root = Node(("all", "", "group"))
    with_threads = len({thread for thread, _stack in profile.stacks}) > 1
    _add(root, profile, 1.0, with_threads=with_threads and before is None, is_before=False)
    scale = 0.0
    if before is not None:
        total_before = float(before.total)
        scale = root.total / total_before if total_before and root.total else 1.0
        _add(root, before, scale, with_threads=False, is_before=True)
    nodes, functions, left_out = _flattened(root)
    return FlameTree(
        functions, nodes, root.total, root.total_before if before is not None else None, left_out
    )


def _add(root: Node, profile: Profile, scale: float, *, with_threads: bool, is_before: bool) -> None:
    keys = [function_key(frame) for frame in profile.frames]
    for (thread, stack), value in profile.stacks.items():
        amount = value * scale
        node = root
        path = [keys[index] for index in stack]
        for key in [thread_key(thread, profile.tool), *path] if with_threads else path:
            _count(node, amount, is_before)
            child = node.children.get(key)
            if child is None:
                child = node.children[key] = Node(key)
            node = child
        _count(node, amount, is_before)
        if not is_before:
            node.own += amount


def _count(node: Node, amount: float, is_before: bool) -> None:
    if is_before:
        node.total_before += amount
    else:
        node.total += amount


def function_key(frame: Frame) -> FunctionKey:
    """Return what names a function whatever its line: name, place, kind."""
    return frame.name, frame.file or frame.module or "", frame.kind


def thread_key(thread: Thread, tool: str) -> FunctionKey:
    return thread_title(thread, tool), "", "group"


def _flattened(root: Node) -> tuple[list[FlatNode], list[FunctionKey], int]:
    """The heaviest nodes in an order that has parents first; children beside each other, heaviest first."""
    least = max(root.weight * _LEAST_SHARE, _least_weight(root))
    functions: dict[FunctionKey, int] = {}
    nodes: list[FlatNode] = []
    left_out = 0
    waiting: list[tuple[Node, int]] = [(root, -1)]
    while waiting:  # no recursion: a stack may be a thousand frames deep
        node, parent = waiting.pop()
        if node.weight < least:
            left_out += 1
            continue
        number = functions.setdefault(node.function, len(functions))
        nodes.append(FlatNode(parent, number, node.total, node.own, node.total_before))
        here = len(nodes) - 1
        ordered = sorted(node.children.values(), key=lambda child: (child.weight, child.function))
        waiting += [(child, here) for child in ordered]
    return nodes, list(functions), left_out


def _least_weight(root: Node) -> float:
    """The weight below which nodes are left out so that no more than so many are written."""
    weights = sorted((node.weight for node in _all(root)), reverse=True)
    return 0.0 if len(weights) <= MAX_NODES else weights[MAX_NODES] * (1 + 1e-9)


def _all(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.children.values()
