"""The order of examples, and splits that share nothing."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.training.examples import Example, TrainingPassage
from pipelines.training.examples.splitting import split_by_group
from pipelines.training.running.batches import Batches


@given(
    keys=st.lists(st.integers(0, 8), min_size=1, max_size=60), size=st.integers(1, 9), seed=st.integers(0, 99)
)
def test_an_epoch_takes_each_example_once_and_no_batch_a_positive_twice(
    keys: list[int], size: int, seed: int
) -> None:
    named = [f"p{key}" for key in keys]
    batches = Batches(named, size, seed, epochs=2)
    seen: dict[int, list[int]] = {0: [], 1: []}
    for step in range(len(batches)):
        epoch, rows = batches.at(step)
        assert 0 < len(rows) <= size
        assert len({named[row] for row in rows}) == len(rows)
        seen[epoch] += rows
    assert all(sorted(rows) == list(range(len(keys))) for rows in seen.values())


def test_the_order_depends_on_seed_and_step_alone() -> None:
    keys = [str(number) for number in range(40)]
    first, again = (Batches(keys, 8, 3, epochs=3) for _ in range(2))
    whole = [first.at(step) for step in range(len(first))]
    assert [again.at(step) for step in reversed(range(len(again)))] == whole[::-1]
    assert [Batches(keys, 8, 4, epochs=3).at(step) for step in range(5)] != whole[:5]


@pytest.mark.parametrize(("epochs", "steps", "expected"), [(1, None, 5), (1.5, None, 8), (1, 12, 12)])
def test_how_many_steps_there_are(epochs: float, steps: int | None, expected: int) -> None:
    batches = Batches([str(number) for number in range(40)], 8, 0, epochs=epochs, steps=steps)
    assert len(batches) == expected
    assert len(batches.at(expected - 1)[1]) == 8


def example(query: int, group: str) -> Example:
    passage = TrainingPassage(f"{group}#0", 0, group, group, "text")
    return Example(f"q{query}", f"question {query}", passage, group=group)


@given(
    pairs=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 15)), min_size=2, max_size=60, unique=True),
    seed=st.integers(0, 99),
)
def test_splits_share_neither_queries_nor_groups(pairs: list[tuple[int, int]], seed: int) -> None:
    examples = [example(query, f"g{group}") for query, group in pairs]
    train, dev = split_by_group(examples, 0.2, seed)
    assert Counter(train + dev) == Counter(examples)
    assert not {one.group for one in train} & {one.group for one in dev}
    assert not {one.query_id for one in train} & {one.query_id for one in dev}


def test_a_share_is_drawn_where_groups_are_small() -> None:
    train, dev = split_by_group([example(number, f"g{number}") for number in range(100)], 0.1, 0)
    assert (len(train), len(dev)) == (90, 10)
