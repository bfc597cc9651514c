"""Claims, by the packaged models: right citations stay, wrong ones move or go, the unsupported is marked."""

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.generation.claims.checking import LONGEST, MOST, CheckedAnswer, cited_sentences
from retrieval.generation.claims.verification import Verifier
from retrieval.generation.context.reading import Found, read_context
from retrieval.generation.context.settings import ContextSettings
from tests.tools.samples.generation_tools import BEES, OIL, VIOLIN, hits, judge, passage

QUESTION = "When did the 1973 oil crisis begin?"
PASSAGES = [passage(1, "1973 oil crisis", OIL), passage(2, "Violin", VIOLIN), passage(3, "Bees", BEES)]
READ = read_context(
    [Found(hits(*[(one.title, one.text) for one in PASSAGES]))], ContextSettings(), 999
).passages


def verifier(question: str = QUESTION, given: int = 3) -> Verifier:
    return Verifier(judge().read(question, PASSAGES), range(given))


def checked(answer: str, question: str = QUESTION, given: int = 3) -> tuple[str, CheckedAnswer]:
    found = CheckedAnswer(verifier(question, given), given)
    text = found.feed(answer) + found.finish()
    assert text == found.text
    return text, found


@pytest.mark.parametrize(
    ("question", "answer", "expected", "moved", "removed"),
    [
        (QUESTION, "It began in October 1973 [1].", "It began in October 1973 [1].", 0, 0),
        (QUESTION, "It began in October 1973 [2].", "It began in October 1973 [1].", 1, 0),
        (QUESTION, "It began in October 1973 [1, 3].", "It began in October 1973 [1].", 0, 1),
        (QUESTION, "It began in October 1973 [2][3].", "It began in October 1973 [1].", 1, 1),
        ("Where were violins made?", "In Cremona. [3] Or not?", "In Cremona. [2] Or not?", 1, 0),
        ("Where were violins made?", "In Ulan Bator, Mongolia [2].", "In Ulan Bator, Mongolia.", 0, 1),
        ("What do bees collect?", "Nectar and pollen.", "Nectar and pollen. [3]", 0, 0),
        ("What do bees collect?", "Nectar [9] and pollen [3].", "Nectar and pollen [3].", 0, 1),
    ],
)  # fmt: skip
def test_citations_are_those_of_passages_that_say_it(
    question: str, answer: str, expected: str, moved: int, removed: int
) -> None:
    text, found = checked(answer, question)
    assert (text, found.moved, found.removed) == (expected, moved, removed)


def test_each_part_of_a_sentence_keeps_its_own_passage() -> None:
    text, found = checked(
        "The oil crisis began in October 1973 [1] and Antonio Stradivari made violins in Cremona [2]."
    )
    assert text.endswith("[1] and Antonio Stradivari made violins in Cremona [2].") and not found.removed
    [claim] = found.claims
    assert claim.supported and claim.numbers == (1, 2)


def test_passages_that_say_it_together_are_both_kept() -> None:
    text, found = checked(
        "The oil embargo of October 1973 and the violins of Stradivari in Cremona [1, 2].", ""
    )
    assert text.endswith("[1, 2].") and found.claims[0].supported and not found.removed


def test_claims_are_spans_of_the_answer_and_the_unsupported_is_marked() -> None:
    text, found = checked("It began in October 1973 [1]. The king of Mongolia bought forty submarines [1].")
    first, second = found.claims
    assert text[first.start : first.end] == "It began in October 1973 [1]."
    assert text[second.start : second.end] == "The king of Mongolia bought forty submarines."
    assert first.supported and not second.supported and first.score > second.score
    assert (first.numbers, second.numbers) == ((1,), ())


def test_passages_that_were_not_given_are_not_cited() -> None:
    text, found = checked("In Cremona.", "Where were violins made?", given=1)
    assert text == "In Cremona." and not found.claims[0].supported


def test_a_refusal_is_no_claim() -> None:
    text, found = checked("That is not in the passages.")
    assert text == "That is not in the passages." and found.claims == []


PIECES = st.sampled_from(
    ["It began in October 1973", "[1]", "[2]", "[9]", " [1, 2]", ". ", " ", "\n\n", "`x[1]`", "`", "[", "]",
     "Bees collect nectar", "…", "! "]
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.lists(PIECES, max_size=9), st.data())
def test_what_is_streamed_is_the_answer_however_it_comes(parts: list[str], data: st.DataObject) -> None:
    answer = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=5)))
    read = verifier()
    whole, pieces = CheckedAnswer(read, 3), CheckedAnswer(read, 3)
    text = whole.feed(answer) + whole.finish()
    shown = [pieces.feed(answer[start:end]) for start, end in pairwise([0, *cuts, len(answer)])]
    assert "".join(shown) + pieces.finish() == text
    assert (pieces.claims, pieces.moved, pieces.removed) == (whole.claims, whole.moved, whole.removed)
    assert "".join(one.text for one in cited_sentences(text)) == text
    for claim in whole.claims:
        assert text[claim.start : claim.end].strip() == text[claim.start : claim.end] != ""


def test_words_are_not_held_back_and_citations_are() -> None:
    found = CheckedAnswer(verifier(), 3)
    assert found.feed("It began in Octo") == "It began in Octo"
    assert found.feed("ber 1973 [2]") == "ber 1973"
    assert found.feed(". Prices") == " [1]. Prices"
    assert found.feed(" rose.") == " rose."


def test_a_sentence_without_end_is_not_held_back_for_ever() -> None:
    found = CheckedAnswer(verifier(), 3)
    shown = found.feed("It began [1] " + "and went on " * (LONGEST // 8))
    assert len(shown) > LONGEST and len(found.claims) == 1


def test_a_part_goes_on_after_another_that_was_kept() -> None:
    first = CheckedAnswer(verifier(), 3)
    text = first.feed("It began in October 1973 [2].") + first.finish()
    again = CheckedAnswer(verifier(), 3, first.text, first.claims)
    text += again.feed(" Bees collect nectar and pollen [1].") + again.finish()
    assert text == again.text == "It began in October 1973 [1]. Bees collect nectar and pollen [3]."
    assert [text[claim.start : claim.end] for claim in again.claims] == text.replace("]. ", "].|").split("|")
    quotes = {cited.number: cited.quote for cited in again.citations(READ)}
    assert set(quotes) == {1, 3} and "October 1973" in quotes[1] and "nectar" in quotes[3]


def test_the_rest_of_an_endless_answer_is_not_checked() -> None:
    read = verifier()
    found = CheckedAnswer(read, 3)
    start = time.perf_counter()
    text = found.feed("No. " * MOST + "It began in October 1973 [1]. " * 20_000 + " " * 200_000 + "x")
    assert "[" not in text and len(found.claims) == MOST and found.removed == 20_000
    assert time.perf_counter() - start < 20


def test_hostile_answers_do_no_harm() -> None:
    for answer in (
        "[1]" * 50,
        "`" * 99,
        "[1] [2]\n\n[3]",
        "\0[1]\0",
        "x" * 5_000,
        "日本。[1]" * 20,
        "\ud800 [1].",
    ):
        text, found = checked(answer)
        assert len(text) <= len(answer) + 5 * len(found.claims)
