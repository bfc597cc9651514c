"""Sentences and their citations: what each is cited for, and the sentence with others in their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.generation.claims.cited import CitedSentence


def claims(text: str) -> list[tuple[list[int], str]]:
    return [(one.numbers, one.claim) for one in CitedSentence.of(text).citing]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It began in 1973 [1].", [([1], "It began in 1973")]),
        ("It began in 1973. [1]", [([1], "It began in 1973.")]),
        ("It began in 1973 [1][2], [3].", [([1, 2, 3], "It began in 1973")]),
        ("A rose [1] and B fell [2].", [([1], "A rose"), ([2], "and B fell")]),
        ("It began [1] in 1973.", [([1], "It began in 1973.")]),
        ("[1] It began.", [([1], "It began.")]),
        ("[1] A rose [2].", [([1], "A rose"), ([2], "A rose")]),
        ("- One [1]\n- Two [2, 1]", [([1], "- One"), ([2, 1], "- Two")]),
        ("Use `rows[9]` here [1].", [([1], "Use `rows[9]` here")]),
        ("None here.", []),
        ("[1]", [([1], "")]),
    ],
)
def test_each_citation_stands_for_the_words_in_front_of_it(
    text: str, found: list[tuple[list[int], str]]
) -> None:
    assert claims(text) == found


@pytest.mark.parametrize(
    ("text", "kept", "added", "expected"),
    [
        ("A rose [1] and B fell [2].", [[1], [2]], [], "A rose [1] and B fell [2]."),
        ("A rose [1] and B fell [2].", [[3], []], [], "A rose [3] and B fell."),
        ("A rose [1], [2].", [[1]], [], "A rose [1]."),
        ("A rose [1], [2].", [[2]], [], "A rose [2]."),
        ("A rose [1][2, 3].", [[1, 3]], [], "A rose [1][3]."),
        ("A rose [1].", [[]], [], "A rose."),
        ("A rose.", [], [2], "A rose. [2]"),
        ("`x[1]` rose [1].", [[4]], [], "`x[1]` rose [4]."),
    ],
)
def test_numbers_are_put_in_place_of_others(
    text: str, kept: list[list[int]], added: list[int], expected: str
) -> None:
    assert CitedSentence.of(text).with_numbers(kept, added) == expected


@given(st.lists(st.sampled_from(["[1]", "[2, 3]", " ", ",", "word", ".", "`", "\n", "[x]"]), max_size=25))
def test_a_sentence_with_its_own_numbers_is_itself(parts: list[str]) -> None:
    text = "".join(parts)
    sentence = CitedSentence.of(text)
    assert sentence.with_numbers([one.numbers for one in sentence.citing]) == text
    assert "[1]" not in CitedSentence.of(sentence.words).words.replace("`", "") or "`" in text
    assert sentence.in_code == (text.count("`") % 2 == 1)


def test_code_goes_on_over_sentences() -> None:
    assert CitedSentence.of("rows[1]` and more [2]", in_code=True).citing[0].numbers == [2]
