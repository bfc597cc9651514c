"""Citations: what points at no given passage goes, however the answer is cut into pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.generation.citations import CitationFilter


def filtered(deltas: list[str], given: int = 3) -> tuple[str, int]:
    """A whole answer through the filter, and how many numbers were taken out."""
    checked = CitationFilter(given)
    text = "".join(checked.feed(delta) for delta in deltas)
    return text + checked.finish(), checked.removed


@pytest.mark.parametrize(
    ("answer", "kept", "removed"),
    [
        ("Denver won [1].", "Denver won [1].", 0),
        ("Denver won [4].", "Denver won.", 1),
        ("Denver won [1][9][2].", "Denver won [1][2].", 1),
        ("Denver won [2, 3] and lost [ 1,7 ].", "Denver won [2, 3] and lost [1].", 1),
        ("Denver won [0].", "Denver won.", 1),
        ("Denver won [2-3], [3–9].", "Denver won [2, 3], [3].", 1),
        ("See [a] and [b1] and [ ].", "See [a] and [b1] and [ ].", 0),
        ("Use `rows[9]` here [9].", "Use `rows[9]` here.", 1),
        ("It ends [1", "It ends", 0),
        ("It ends [", "It ends [", 0),
        ("Big [99999999999999999999].", "Big [99999999999999999999].", 0),
    ],
)
def test_citations_of_given_passages_alone_stay(answer: str, kept: str, removed: int) -> None:
    assert filtered([answer]) == (kept, removed)


@given(st.lists(st.sampled_from([*"[]19, .`-\n", "ab"]), max_size=30), st.data())
def test_pieces_do_not_matter(parts: list[str], data: st.DataObject) -> None:
    answer = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=6)))
    edges = [0, *cuts, len(answer)]
    deltas = [answer[start:end] for start, end in pairwise(edges)]
    assert filtered(deltas) == filtered([answer])


def test_an_unknown_citation_is_never_shown_on_the_way() -> None:
    checked = CitationFilter(2)
    shown = [checked.feed(letter) for letter in "First [1], second [7], third"]
    assert "[7" not in "".join(shown)
    assert shown["First [1], second [7], third".index("[")] == ""  # an open bracket waits
    assert "".join(shown) + checked.finish() == "First [1], second, third"


def test_long_brackets_are_not_held_back_for_ever() -> None:
    checked = CitationFilter(2)
    text = "[" + "1" * 5_000
    assert len(checked.feed(text)) > 4_000
