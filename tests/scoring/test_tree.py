from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lm_eval_xling.scoring.tree import Node, ScoredSequence, build_tree

# Two tokens only, so that sequences share prefixes, repeat and contain each other.
sequences = st.lists(
    st.lists(st.integers(0, 1), min_size=1, max_size=8).flatmap(
        lambda tokens: st.builds(
            ScoredSequence,
            st.just(tokens),
            st.lists(st.integers(0, 9), min_size=1, max_size=len(tokens)),
        )
    ),
    min_size=1,
    max_size=12,
)


def path_to(node: Node) -> list[int]:
    tokens: list[int] = []
    step: Node | None = node
    while step is not None:
        tokens = step.tokens.tolist() + tokens
        step = step.parent
    return tokens


@given(sequences)
def test_every_sequence_ends_at_the_path_of_its_tokens(given_sequences: list[ScoredSequence]) -> None:
    root = build_tree(given_sequences)
    ends = {index: path_to(node) for node in root.preorder() for index in node.ending}
    assert ends == {index: list(sequence.tokens) for index, sequence in enumerate(given_sequences)}


@given(sequences)
def test_each_shared_token_stands_once(given_sequences: list[ScoredSequence]) -> None:
    root = build_tree(given_sequences)
    prefixes = {tuple(s.tokens[:length]) for s in given_sequences for length in range(1, len(s.tokens) + 1)}
    assert root.size == len(prefixes) == sum(len(node.tokens) for node in root.preorder())
    assert root.longest == max(len(s.tokens) for s in given_sequences)
    for node in root.preorder():
        firsts = [child.tokens[0] for child in node.children]
        assert len(set(firsts)) == len(firsts)


@given(sequences)
def test_targets_stand_where_they_are_predicted(given_sequences: list[ScoredSequence]) -> None:
    found = Counter(
        (target.sequence, target.index, target.token, target.position, node.depth <= target.position < node.end)
        for node in build_tree(given_sequences).preorder()
        for target in node.scored
    )
    expected = Counter(
        (number, k, token, len(s.tokens) - len(s.targets) + k, True)
        for number, s in enumerate(given_sequences)
        for k, token in enumerate(s.targets)
    )
    assert found == expected


def test_token_ids_beyond_one_byte_keep_their_order() -> None:
    given_sequences = [ScoredSequence([token, 5], [0]) for token in (256, 1, 70000, 255)]
    assert [child.tokens[0] for child in build_tree(given_sequences).children] == [1, 255, 256, 70000]
    assert build_tree(given_sequences).children[3].tokens.dtype == np.uint32
