"""What to compute, in which order: decided without a model, so that it can be printed and tested.

A row is a chain or a small tree of tokens that one line of a batch holds. Sequences that share a long prefix get
it from a cached prefix, which is a row computed earlier and kept; what is left of them becomes their rows.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lm_eval_xling.scoring.tree import Node, ScoredSequence, ScoredToken, build_tree

__all__ = ["Batch", "Costs", "Plan", "Prefix", "BatchRow", "make_plan"]


@dataclass(frozen=True, slots=True)
class Costs:
    """What the decisions weigh, all in tokens: one is the time that a token of a full batch takes."""

    budget: int
    """Most tokens of a batch; a single row may be longer."""
    launch: int = 64
    """What a forward pass costs apart from its tokens: so much padding in attention is accepted in any batch."""
    saving: int = 64
    """A prefix is cached only if that saves at least so many tokens."""
    row: int = 256
    """Up to so many tokens, a subtree becomes one row with a tree-shaped mask instead of a prefix and its rows."""
    overhang: float = 0.25
    """A larger subtree becomes one row, too, if it exceeds its longest path by at most this fraction."""
    places: int = 1 << 30
    """Most places of a batch at which logits are computed; a single row may have more."""
    kept: int = 4096
    """Cached prefixes of about so many tokens are alive at a time."""


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One line of a batch: tokens in depth-first order of the part of the tree that it holds."""

    prefix: int | None
    """Number of the cached prefix that the row continues; None: it starts the sequence."""
    tokens: tuple[int, ...]
    """Token ids."""
    positions: tuple[int, ...]
    """Position of each token in its sequences."""
    ends: tuple[int, ...]
    """Token ``i`` is seen by the tokens of the row from ``i`` up to, not including, ``ends[i]``."""
    scored: tuple[ScoredToken, ...]
    """Targets predicted in this row."""
    places: tuple[int, ...]
    """For each of ``scored``, the index into ``tokens`` after which it is predicted."""
    kept_as: int | None = None
    """Number of the cached prefix that the row becomes."""

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class Prefix:
    """A cached prefix: the keys and values of the first tokens of several sequences."""

    number: int
    """Index into ``Plan.prefixes``; a parent's number is smaller than its children's."""
    parent: int | None
    """The cached prefix that it continues."""
    length: int
    """Number of tokens from the start of the sequence."""
    row: BatchRow
    """The row that computes what it adds to its parent."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows computed in one forward pass. Rows of one prefix stand side by side."""

    rows: tuple[BatchRow, ...]
    """What is computed. Attention pads rows on the right to the longest; all else takes them as one line."""
    released: tuple[int, ...] = ()
    """Prefixes that nothing after this batch needs."""

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return sum(map(len, self.rows))

    def groups(self) -> Iterator[tuple[int | None, int, int]]:
        """Prefix, first row and row after the last, for each run of rows with one prefix."""
        start = 0
        for stop in range(1, len(self.rows) + 1):
            if stop == len(self.rows) or self.rows[stop].prefix != self.rows[start].prefix:
                yield self.rows[start].prefix, start, stop
                start = stop


@dataclass(frozen=True, slots=True)
class Plan:
    """Batches in the order of their computation."""

    batches: tuple[Batch, ...]
    """Every target of every sequence is scored in exactly one row of one of them."""
    prefixes: tuple[Prefix, ...]
    """The cached prefixes."""
    given: int
    """Tokens of all sequences together."""

    @property
    def computed(self) -> int:
        """Tokens of all batches."""
        return sum(batch.tokens for batch in self.batches)

    def remaining(self, sequences: Container[int]) -> Plan:
        """The batches that some of the sequences need, each whole: a batch's shape decides how its scores are rounded.

        Args:
            sequences: indices of those that are still to be scored.
        """
        kept: list[Batch] = []
        needed: set[int | None] = set()
        for batch in reversed(self.batches):
            if any(
                row.kept_as in needed or any(target.sequence in sequences for target in row.scored)
                for row in batch.rows
            ):
                kept.append(batch)
                needed.update(row.prefix for row in batch.rows if row.prefix is not None)
        return replace(self, batches=tuple(_release(reversed(kept), self.prefixes)))

    def __str__(self) -> str:
        lines = [
            f"{self.given} tokens given, {self.computed} computed in {len(self.batches)} batches, "
            f"{len(self.prefixes)} cached prefixes"
        ]
        for number, batch in enumerate(self.batches):
            parts = []
            for prefix, start, stop in batch.groups():
                rows = batch.rows[start:stop]
                cached = "" if prefix is None else f" after prefix {prefix} of {self.prefixes[prefix].length}"
                kept = [str(row.kept_as) for row in rows if row.kept_as is not None]
                parts.append(
                    f"{len(rows)} row(s){cached}, {sum(len(row.scored) for row in rows)} scored"
                    + (f", kept as prefix {', '.join(kept)}" if kept else "")
                )
            freed = f"; frees {', '.join(map(str, batch.released))}" if batch.released else ""
            lines.append(f"batch {number}: {batch.tokens} tokens: {'; '.join(parts)}{freed}")
        return "\n".join(lines)


@dataclass(slots=True)
class _Draft:
    """Rows and prefixes before they are put in order."""

    prefixes: list[Prefix] = field(default_factory=list)
    rows: dict[int | None, list[BatchRow]] = field(default_factory=dict)
    """Rows that are not kept, by the prefix that they continue."""


def make_plan(sequences: Sequence[ScoredSequence], costs: Costs) -> Plan:
    """Decide which prefixes to cache and which rows to compute together.

    Args:
        sequences: what is to be scored, in any order; see ``build_tree``.
        costs: the budget and the weights of the decisions.
    """
    draft = _cut(build_tree(sequences), costs)
    batches = _release(_arrange(draft, costs), draft.prefixes)
    return Plan(tuple(batches), tuple(draft.prefixes), sum(len(sequence.tokens) for sequence in sequences))


def _cut(root: Node, costs: Costs) -> _Draft:
    """Cut the tree into rows and cached prefixes, from the root downwards.

    ``pending`` are the runs since the last cached prefix. At a node, either everything below fits one row; or the
    pending tokens are cached, which saves them once for every branch but one; or they stay pending.
    """
    draft = _Draft()
    largest_row = min(costs.row, costs.budget)
    stack: list[tuple[Node, int | None, list[Node]]] = [(child, None, []) for child in reversed(root.children)]
    while stack:
        node, prefix, pending = stack.pop()
        waiting = sum(len(run.tokens) for run in pending)
        # A long context with its short continuations is one row, too: nothing of it is computed twice.
        longest_row = max(largest_row, (waiting + node.longest) * (1 + costs.overhang))
        if not node.children or waiting + node.size <= longest_row:
            draft.rows.setdefault(prefix, []).append(_row(prefix, pending, node))
            continue
        pending = [*pending, node]
        waiting += len(node.tokens)
        if waiting * (len(node.children) - 1) >= costs.saving:
            number = len(draft.prefixes)
            row = replace(_row(prefix, pending, None), kept_as=number)
            draft.prefixes.append(Prefix(number, prefix, node.end, row))
            prefix, pending = number, []
        stack.extend((child, prefix, pending) for child in reversed(node.children))
    return draft


def _row(prefix: int | None, pending: list[Node], subtree: Node | None) -> BatchRow:
    """Lay out the pending runs and the subtree under them; their targets are scored here and in no later row."""
    below = [] if subtree is None else list(subtree.preorder())
    length = sum(len(run.tokens) for run in pending) + (0 if subtree is None else subtree.size)
    tokens: list[int] = []
    positions: list[int] = []
    ends: list[int] = []
    scored: list[ScoredToken] = []
    places: list[int] = []
    for index, node in enumerate([*pending, *below]):
        start = len(tokens)
        end = length if index < len(pending) else start + node.size
        tokens.extend(node.tokens.tolist())
        positions.extend(range(node.depth, node.end))
        ends.extend([end] * len(node.tokens))
        scored.extend(node.scored)
        places.extend(start + target.position - node.depth for target in node.scored)
        node.scored = []
    return BatchRow(prefix, tuple(tokens), tuple(positions), tuple(ends), tuple(scored), tuple(places))


def _arrange(draft: _Draft, costs: Costs) -> Iterator[Batch]:
    """Put rows into batches: waves of prefixes that are alive together, and for each wave the prefixes, then rows."""
    yield from _batches(draft.rows.get(None, []), costs)
    for wave in _waves(draft.prefixes, costs):
        level: dict[int, int] = {}
        for prefix in wave:
            level[prefix.number] = level.get(prefix.parent, -1) + 1 if prefix.parent is not None else 0
        for depth in range(max(level.values()) + 1):
            yield from _batches([prefix.row for prefix in wave if level[prefix.number] == depth], costs)
        remaining: list[BatchRow] = []
        for prefix in wave:
            batches = list(_batches(draft.rows.get(prefix.number, []), costs))
            # The last batch of a prefix is rarely full: those of all prefixes of the wave are joined.
            remaining.extend(batches.pop().rows if batches else ())
            yield from batches
        yield from _batches(remaining, costs)


def _waves(prefixes: list[Prefix], costs: Costs) -> Iterator[list[Prefix]]:
    wave: list[Prefix] = []
    for prefix in prefixes:
        if wave and sum(other.length for other in wave) + prefix.length > costs.kept:
            yield wave
            wave = []
        wave.append(prefix)
    if wave:
        yield wave


def _batches(rows: Sequence[BatchRow], costs: Costs) -> Iterator[Batch]:
    """Batches of rows of similar length within the budget, longest first."""
    batch: list[BatchRow] = []
    tokens = places = 0
    for row in sorted(rows, key=len, reverse=True):
        tokens += len(row)
        places += len(set(row.places))
        full = tokens > costs.budget or places > costs.places
        padding = len(batch[0]) * (len(batch) + 1) - tokens if batch else 0
        if batch and (full or padding > max(costs.launch, tokens // 2)):
            yield _batch(batch)
            batch, tokens, places = [], len(row), len(set(row.places))
        batch.append(row)
    if batch:
        yield _batch(batch)


def _batch(rows: list[BatchRow]) -> Batch:
    return Batch(tuple(sorted(rows, key=lambda row: -1 if row.prefix is None else row.prefix)))


def _release(batches: Iterator[Batch], prefixes: Sequence[Prefix]) -> list[Batch]:
    """Note on each batch which prefixes are needed no more after it."""
    ordered = list(batches)
    last = np.full(len(prefixes), -1)
    for number, batch in enumerate(ordered):
        for row in batch.rows:
            for prefix in (row.prefix, row.kept_as):
                if prefix is not None:
                    last[prefix] = number
    return [
        replace(batch, released=tuple(np.flatnonzero(last == number).tolist())) for number, batch in enumerate(ordered)
    ]
