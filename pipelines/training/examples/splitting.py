"""Splits that share no document: examples whose positives hang together stay together."""

import random
from collections import defaultdict
from collections.abc import Sequence

from pipelines.training.examples.example import Example


def split_by_group(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """(train, dev): no group of a positive is in both, nor is a query.

    Queries with positives in several groups tie these together. Whole components are drawn until dev has
    `share` of the examples; the largest component stays in train.
    """
    roots: dict[str, str] = {}

    def root(name: str) -> str:
        while roots.setdefault(name, name) != name:
            roots[name] = name = roots[roots[name]]
        return name

    for example in examples:
        roots[root(f"query {example.query_id}")] = root(f"group {example.group}")
    components: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        components[root(f"group {example.group}")].append(example)
    names = sorted(components)
    random.Random(seed).shuffle(names)
    largest = max(names, key=lambda name: len(components[name]), default="")
    dev: set[str] = set()
    wanted, taken = share * len(examples), 0
    for name in names:
        if taken >= wanted:
            break
        if name != largest and taken + len(components[name]) <= max(2 * wanted, 1):
            dev.add(name)
            taken += len(components[name])
    chosen = {id(example) for name in dev for example in components[name]}
    train = [example for example in examples if id(example) not in chosen]
    return train, [example for example in examples if id(example) in chosen]


def without_groups(examples: Sequence[Example], groups: set[str]) -> list[Example]:
    """Examples whose positives are in none of the groups."""
    return [example for example in examples if example.group not in groups]
