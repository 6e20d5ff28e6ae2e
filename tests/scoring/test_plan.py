from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval_xling.scoring.plan import BatchRow, Costs, Plan, make_plan
from lm_eval_xling.scoring.tree import ScoredSequence
from tests.scoring.test_tree import sequences

costs = st.builds(
    Costs,
    budget=st.integers(8, 40),
    launch=st.integers(0, 10),
    saving=st.integers(1, 10),
    row=st.integers(1, 20),
    kept=st.integers(1, 30),
)


def seen_before(plan: Plan, row: BatchRow, place: int) -> list[int]:
    """The tokens that a token of a row sees, its own included, from the start of the sequence."""
    own = [row.tokens[i] for i in range(place + 1) if place < row.ends[i]]
    if row.prefix is None:
        return own
    prefix = plan.prefixes[row.prefix]
    return seen_before(plan, prefix.row, len(prefix.row) - 1) + own


@given(sequences, costs)
def test_each_target_is_scored_once_after_exactly_its_own_tokens(
    given_sequences: list[ScoredSequence], weights: Costs
) -> None:
    plan = make_plan(given_sequences, weights)
    scored = []
    for batch in plan.batches:
        for row in batch.rows:
            for place, target in zip(row.places, row.scored, strict=True):
                scored.append((target.sequence, target.index))
                sequence = given_sequences[target.sequence]
                read = len(sequence.tokens) - len(sequence.targets) + target.index + 1
                assert seen_before(plan, row, place) == list(sequence.tokens[:read])
                assert row.positions[place] == read - 1
                assert target.token == sequence.targets[target.index]
    expected = [(n, k) for n, sequence in enumerate(given_sequences) for k in range(len(sequence.targets))]
    assert Counter(scored) == Counter(expected)


@given(sequences, costs)
def test_prefixes_are_computed_before_and_freed_after_their_last_use(
    given_sequences: list[ScoredSequence], weights: Costs
) -> None:
    plan = make_plan(given_sequences, weights)
    alive: set[int] = set()
    for batch in plan.batches:
        for row in batch.rows:
            assert row.prefix is None or row.prefix in alive
        alive |= {row.kept_as for row in batch.rows if row.kept_as is not None}
        assert set(batch.released) <= alive
        alive -= set(batch.released)
    assert not alive
    assert [prefix.number for prefix in plan.prefixes] == list(range(len(plan.prefixes)))
    for prefix in plan.prefixes:
        before = 0 if prefix.parent is None else plan.prefixes[prefix.parent].length
        assert prefix.length == before + len(prefix.row)


@given(sequences, costs)
def test_batches_keep_to_the_budget(given_sequences: list[ScoredSequence], weights: Costs) -> None:
    for batch in make_plan(given_sequences, weights).batches:
        assert batch.tokens <= weights.budget or len(batch.rows) == 1
        groups = list(batch.groups())
        assert [start for _, start, _ in groups] + [len(batch.rows)] == [0] + [stop for _, _, stop in groups]
        assert len({prefix for prefix, _, _ in groups}) == len(groups)


def few_shot(documents: int, choices: int) -> list[ScoredSequence]:
    """A prefix of 250 tokens, documents of 30 tokens, continuations of two tokens."""
    draw = random.Random(0)
    shared = [draw.randrange(1000) for _ in range(250)]
    made = []
    for number in range(documents):
        document = [5000 + number, *(draw.randrange(1000) for _ in range(29))]
        made += [ScoredSequence(shared + document + [2000 + k], [2000 + k, 3000]) for k in range(choices)]
    return made


def test_a_few_shot_prefix_is_computed_once_and_a_context_once_for_all_its_continuations() -> None:
    plan = make_plan(few_shot(documents=200, choices=3), Costs(budget=1128))
    (prefix,) = plan.prefixes
    assert prefix.length == 250
    assert plan.given == 200 * 3 * 281
    # 30 tokens of context and the first tokens of three continuations.
    assert plan.computed == 250 + 200 * 33


def test_the_plan_does_not_depend_on_the_order_of_the_requests() -> None:
    given_sequences = few_shot(documents=20, choices=2)
    shuffled = list(range(len(given_sequences)))
    random.Random(1).shuffle(shuffled)
    plan = make_plan(given_sequences, Costs(budget=500))
    other = make_plan([given_sequences[index] for index in shuffled], Costs(budget=500))
    assert [[row.tokens for row in batch.rows] for batch in plan.batches] == [
        [row.tokens for row in batch.rows] for batch in other.batches
    ]


def test_a_long_context_with_short_continuations_is_one_row() -> None:
    context = list(range(600))
    plan = make_plan([ScoredSequence([*context, 900 + k], [900 + k, 7]) for k in range(4)], Costs(budget=5000))
    assert [len(row) for batch in plan.batches for row in batch.rows] == [604]
    assert not plan.prefixes


def test_prefixes_beyond_what_is_kept_alive_follow_one_another() -> None:
    made = []
    for subject in range(6):
        shared = [subject * 100 + k for k in range(90)]
        made += [ScoredSequence([*shared, 1000 + d, *range(40 + d, 90)], [5]) for d in range(20)]
    plan = make_plan(made, Costs(budget=400, row=64, kept=200))
    alive = most = 0
    for batch in plan.batches:
        alive += sum(row.kept_as is not None for row in batch.rows)
        most = max(most, alive)
        alive -= len(batch.released)
    assert len(plan.prefixes) == 6
    assert most == 2


def test_a_plan_prints_what_it_does() -> None:
    text = str(make_plan(few_shot(documents=40, choices=1), Costs(budget=1128)))
    assert text.splitlines() == [
        "11240 tokens given, 1490 computed in 3 batches, 1 cached prefixes",
        "batch 0: 250 tokens: 1 row(s), 0 scored, kept as prefix 0",
        "batch 1: 1116 tokens: 36 row(s) after prefix 0 of 250, 72 scored",
        "batch 2: 124 tokens: 4 row(s) after prefix 0 of 250, 8 scored; frees 0",
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_nested_sequences_are_one_row(order: int) -> None:
    nested = [ScoredSequence(list(range(length)), [9]) for length in range(1, 30)][::order]
    plan = make_plan(nested, Costs(budget=100))
    assert [len(row) for batch in plan.batches for row in batch.rows] == [29]
