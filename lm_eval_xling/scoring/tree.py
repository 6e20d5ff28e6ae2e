"""A radix tree over token ids: every token that several sequences share from their start stands in it once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Node", "ScoredSequence", "ScoredToken", "build_tree"]


@dataclass(frozen=True, slots=True)
class ScoredSequence:
    """Token ids that a model reads, and the tokens whose log-probability is wanted after its last positions."""

    tokens: Sequence[int] | NDArray[np.uint32]
    """What the model reads: the context and all of the continuation but its last token."""
    targets: Sequence[int]
    """The continuation: target ``k`` is scored after position ``len(tokens) - len(targets) + k``."""


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """One target of one sequence, scored at one position of the tree."""

    position: int
    """Position, from the start of the sequence, after which the target is predicted."""
    token: int
    """Token id of the target."""
    sequence: int
    """Index of the sequence."""
    index: int
    """Index of the target within its sequence."""


@dataclass(slots=True)
class Node:
    """A run of tokens without a branch."""

    depth: int
    """Position of the first of ``tokens`` from the start of every sequence through this node."""
    tokens: NDArray[np.uint32]
    """Token ids of the run; empty for the root alone."""
    children: list[Node] = field(default_factory=list)
    """Continuations of the run; no two of them begin with the same token."""
    parent: Node | None = None
    """The run before; None for the root."""
    ending: list[int] = field(default_factory=list)
    """Indices of the sequences whose last token is the last of ``tokens``."""
    scored: list[ScoredToken] = field(default_factory=list)
    """Targets predicted after the positions of this run."""
    size: int = 0
    """Number of tokens in this node and everything below it."""
    longest: int = 0
    """Number of tokens on the longest path from the first of ``tokens`` downwards."""

    @property
    def end(self) -> int:
        """Position after the last of ``tokens``."""
        return self.depth + len(self.tokens)

    def preorder(self) -> Iterator[Node]:
        """This node and everything below it, parents first. Iterative: a chain of runs may be thousands deep."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))


def build_tree(sequences: Sequence[ScoredSequence]) -> Node:
    """Return the root of the radix tree of the sequences.

    Equal sequences share one path. The tree depends on the set of sequences, not on their order.

    Args:
        sequences: each with at least one token, and with at least one and at most ``len(tokens)`` targets.
    """
    by_key: dict[bytes, list[int]] = {}
    for index, sequence in enumerate(sequences):
        # Big-endian, so that the order of the bytes is the order of the tokens and comparing is one memcmp.
        by_key.setdefault(np.asarray(sequence.tokens, dtype=">u4").tobytes(), []).append(index)

    root = Node(depth=0, tokens=np.empty(0, np.uint32))
    path = [root]
    before = np.empty(0, np.uint32)
    for key in sorted(by_key):
        tokens = np.frombuffer(key, ">u4").astype(np.uint32)
        shared = _common_length(before, tokens)
        while path[-1].depth >= shared and len(path) > 1:
            path.pop()
        if path[-1].end > shared:
            _split(path[-1], shared)
        leaf = Node(depth=shared, tokens=tokens[shared:], parent=path[-1], ending=by_key[key])
        path[-1].children.append(leaf)
        path.append(leaf)
        before = tokens

    nodes = list(root.preorder())
    for node in reversed(nodes):
        node.size = len(node.tokens) + sum(child.size for child in node.children)
        node.longest = len(node.tokens) + max((child.longest for child in node.children), default=0)
    for node in nodes:
        for index in node.ending:
            _place_targets(node, sequences[index], index)
    return root


def _common_length(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> int:
    length = min(len(first), len(second))
    differing = np.flatnonzero(first[:length] != second[:length])
    return int(differing[0]) if len(differing) else length


def _split(node: Node, position: int) -> None:
    """Cut a node in two, so that a branch can leave at a position inside it."""
    cut = position - node.depth
    lower = Node(position, node.tokens[cut:], node.children, node, node.ending)
    for child in lower.children:
        child.parent = lower
    node.tokens, node.children, node.ending = node.tokens[:cut], [lower], []


def _place_targets(last: Node, sequence: ScoredSequence, index: int) -> None:
    node = last
    first_position = len(sequence.tokens) - len(sequence.targets)
    for k in reversed(range(len(sequence.targets))):
        position = first_position + k
        while position < node.depth:
            assert node.parent is not None
            node = node.parent
        node.scored.append(ScoredToken(position, int(sequence.targets[k]), index, k))
