"""What is read: passages that touch joined, copies out, neighbours in, each character the document's."""

import re
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.errors import ConfigError
from retrieval.format.passages import Passage
from retrieval.generation.context.dates import check_date
from retrieval.generation.context.diversity import diversified
from retrieval.generation.context.joining import BREAK
from retrieval.generation.context.passages import ContextPassage
from retrieval.generation.context.reading import Context, Found, read_context
from retrieval.generation.context.settings import ContextSettings
from retrieval.generation.prompt import estimate_tokens
from retrieval.results.search_result import Hit
from retrieval.text import sentences
from tests.tools.samples.generation_tools import BEES, OIL, VIOLIN, passage

TEXT = "".join(f"Line {number} is about topic {number * 7919 % 1000}. " for number in range(40)).strip()
WORDS = st.sampled_from(["a", "Bee", "ab.", "7.", "née", "日本。", "x" * 30, " ", "  ", "\n\n", "\n"])


def passages_of(text: str, spans: list[tuple[int, int]], doc_id: str = "d", first: int = 0) -> list[Passage]:
    """Passages as a chunker makes them; first: number of the first."""
    return [
        Passage(f"{doc_id}#{number}", doc_id, "Title", text[start:end], start, end, "file", {})
        for number, (start, end) in enumerate(spans, first)
    ]


def hit(rank: int, found: Passage) -> Hit:
    return Hit(rank, 1 / rank, **vars(found), stages={})


def hits_of(*found: Passage) -> list[Hit]:
    """Hits in this order."""
    return [hit(rank, one) for rank, one in enumerate(found, 1)]


def read(found: list[Hit], neighbours: list[Passage] | None = None, **values: Any) -> Context:
    """What is read where nobody writes: everything."""
    budget, count = values.pop("budget", 1_024), values.pop("count", None)
    parts = [Found(found, neighbours or ())]
    return read_context(parts, ContextSettings.model_validate(values), budget, count)


def check_text(text: str, one: ContextPassage) -> None:
    """Every character is the document's, or stands for white space there that no passage holds."""
    assert one.end == one.start + len(one.text)
    for letter, there in zip(one.text, text[one.start : one.end], strict=True):
        assert letter == there or (letter == BREAK and there.isspace())
    for start, end in sentences(one.text):
        assert one.text[start:end] == text[one.start + start : one.start + end]
    for piece in one.pieces:
        assert one.start <= piece.start < piece.end <= one.end


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]]]:
    """A text, and the spans of its passages: trimmed, all but white space covered, some overlapping."""
    text = "".join(draw(st.lists(WORDS, min_size=1, max_size=60))).strip() or "a"
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)) | {0, len(text)})
    spans: list[tuple[int, int]] = []
    for start, end in pairwise(cuts):
        if text[start:end].strip():
            least = spans[-1][0] + 1 if spans else 0
            start = max(least, start - draw(st.integers(0, 5)))
            part = text[start:end]
            spans.append((end - len(part.lstrip()), start + len(part.rstrip())))
    return text, spans


@given(documents(), st.data())
def test_joined_passages_are_the_documents_text_each_character_once(
    made: tuple[str, list[tuple[int, int]]], data: st.DataObject
) -> None:
    text, spans = made
    every = passages_of(text, spans)
    chosen = data.draw(st.permutations(every))[: data.draw(st.integers(1, len(every)))]
    found = read(hits_of(*chosen))
    for one in found.passages:
        check_text(text, one)
    for one, other in pairwise(sorted(found.passages, key=lambda one: one.start)):
        assert one.end <= other.start  # no character is read twice
    for place, one in enumerate(chosen, 1):
        inside = [other for other in found.passages if other.start <= one.start and one.end <= other.end]
        copy = [h for h in chosen[: place - 1] if letters(h.text) == letters(one.text)]
        assert len(inside) == 1 or copy or found.near_duplicates
    ranks = [one.best.rank for one in found.passages]
    assert ranks == sorted(ranks)
    assert found.joined == len(chosen) - found.near_duplicates - len(found.passages)


def test_what_touches_is_joined_in_the_place_of_the_best() -> None:
    spans = [(0, 100), (101, 220), (180, 300), (400, 500)]
    spans = [(start, end - len(TEXT[start:end]) + len(TEXT[start:end].rstrip())) for start, end in spans]
    first, second, third, far = passages_of(TEXT, spans)
    other = passage(9, "Bees", BEES)
    found = read(hits_of(third, other, far, first, second))
    assert [one.doc_id for one in found.passages] == ["d", "d9", "d"]
    assert [piece.passage_id for piece in found.passages[0].pieces] == ["d#0", "d#1", "d#2"]
    assert (found.passages[0].best.rank, found.joined) == (1, 2)
    check_text(TEXT, found.passages[0])
    record = found.passages[0].record(1)
    assert (record.passage_ids, record.start, record.end) == (("d#0", "d#1", "d#2"), 0, found.passages[0].end)
    assert found.passages[0].record(1, 150).passage_ids == ("d#0", "d#1")
    assert found.passages[0].piece_of(105, 170).passage_id == "d#1"


def test_what_only_claims_to_be_one_document_is_not_joined() -> None:
    one, other = passages_of(TEXT, [(0, 100), (80, 200)])
    assert len(read(hits_of(one, replace(other, text="x" * 120))).passages) == 2  # another text there
    assert len(read(hits_of(one, replace(other, end=900))).passages) == 2  # a span that is not the text's
    assert len(read(hits_of(one, replace(other, doc_id="e"))).passages) == 2
    beyond = passages_of(TEXT, [(103, 200)], first=5)  # no neighbour, though near
    assert len(read(hits_of(one, *beyond)).passages) == 2
    strange = [replace(one, passage_id=key) for key in ("", "d", "d#", "d#-1", "d#" + "9" * 400, "d#²")]
    assert len(read(hits_of(*strange)).passages) == 1  # one text: copies of each other


def test_what_does_not_fit_displaces_nothing() -> None:
    """A passage of rank 3 that touches the first one does not come before the second one by that."""
    first, last = passages_of(TEXT, [(0, 300), (300, 600)])
    found = hits_of(first, passage(9, "Bees", BEES), last)
    assert [one.doc_id for one in read(found, budget=600, count=estimate_tokens).passages] == ["d", "d9"]
    small = read(found, budget=170, count=estimate_tokens)
    assert [(one.doc_id, one.start) for one in small.passages] == [("d", 0), ("d9", 100), ("d", 300)]
    assert small.joined == 0


def test_copies_go_whatever_their_spaces_and_capitals() -> None:
    copy = OIL.upper().replace(" ", "  ")
    found = read(hits_of(passage(1, "", OIL), passage(2, "", copy), passage(3, "", VIOLIN)))
    assert [one.doc_id for one in found.passages] == ["d1", "d3"] and found.near_duplicates == 1
    nearly = OIL * 3 + " One more word."
    found = read(hits_of(passage(1, "", nearly), passage(2, "", OIL * 3), passage(3, "", OIL)))
    assert [one.doc_id for one in found.passages] == ["d1"] and found.near_duplicates == 2
    longer = read(hits_of(passage(1, "", OIL), passage(2, "", OIL + VIOLIN * 3)))
    assert longer.near_duplicates == 0  # the second one says more


def test_a_text_with_another_number_is_no_copy() -> None:
    form = "The annual report of the town of Holm tells that the harbour was dredged and the quay repaired "
    found = read(hits_of(passage(1, "", form * 3 + "in 1973."), passage(2, "", form * 3 + "in 1974.")))
    assert len(found.passages) == 2 and found.near_duplicates == 0


def test_copies_in_any_script_and_without_words() -> None:
    text = "东京是日本的首都，也是世界上人口最多的城市之一。" * 3
    found = read(hits_of(passage(1, "", text), passage(2, "", text.replace("，", " ")), passage(3, "", "…"),
                         passage(4, "", "!"), passage(5, "", "…")))  # fmt: skip
    assert [one.doc_id for one in found.passages] == ["d1", "d3", "d4"]


SPANS = [(start, end) for start, end in pairwise([0, *range(180, len(TEXT), 180), len(TEXT)])]


def trimmed(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [
        (end - len(TEXT[start:end].lstrip()), start + len(TEXT[start:end].rstrip())) for start, end in spans
    ]


def test_neighbours_are_read_by_sentences_as_far_as_there_is_room() -> None:
    every = passages_of(TEXT, trimmed(SPANS))
    found = read(hits_of(every[3]), every[2:3] + every[4:5], expand=1, budget=10_000)
    [one] = found.passages
    check_text(TEXT, one)
    assert [piece.passage_id for piece in one.pieces] == ["d#2", "d#3", "d#4"]
    assert (one.start, one.end, one.best.rank, found.joined) == (every[2].start, every[4].end, 1, 0)
    [less] = read(hits_of(every[3]), every[2:3] + every[4:5], expand=1, budget=80).passages
    check_text(TEXT, less)
    assert every[2].start < less.start < every[3].start and every[3].end < less.end < every[4].end
    grown = less.text.replace(every[3].text, "")
    assert 0 < estimate_tokens(grown) <= 60  # half the budget, and what a sentence more costs by itself
    [none] = read(hits_of(every[3]), every[2:3] + every[4:5], expand=1, budget=10).passages
    assert (none.start, none.end) == (every[3].start, every[3].end)


def letters(text: str) -> str:
    """What is left of a text that is compared with others, or all of one that has none."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold())) or text


@settings(max_examples=60)
@given(st.sets(st.integers(0, len(SPANS) - 1), min_size=1, max_size=5), st.integers(0, 3), st.data())
def test_neighbours_never_double_or_move_a_character(
    chosen: set[int], expand: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, 120))
    every = passages_of(TEXT, trimmed([(max(0, start - overlap), end) for start, end in SPANS]))
    order = data.draw(st.permutations(sorted(chosen)))
    budget = data.draw(st.sampled_from([0, 60, 200, 600, 5_000]))
    near = [
        one for number, one in enumerate(every)
        if number not in chosen and any(abs(number - other) <= expand for other in chosen)
    ]  # fmt: skip
    lost = (
        data.draw(st.sets(st.sampled_from([one.passage_id for one in near]), max_size=2)) if near else set()
    )
    count = data.draw(st.sampled_from([None, estimate_tokens]))
    known = [one for one in near if one.passage_id not in lost]
    found = read(hits_of(*[every[n] for n in order]), known, expand=expand, budget=budget, count=count)
    for one in found.passages:
        check_text(TEXT, one)
        assert not {piece.passage_id for piece in one.pieces} & lost
    ids = [piece.passage_id for one in found.passages for piece in one.pieces]
    assert len(ids) == len(set(ids)) and {every[n].passage_id for n in chosen} <= set(ids)
    if count is None:
        spans = sorted((one.start, one.end) for one in found.passages)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_neighbours_of_another_text_stay_out() -> None:
    every = passages_of(TEXT, trimmed(SPANS))
    wrong = replace(every[4], text="y" * len(every[4].text), start=every[4].start - 20, end=every[4].end - 20)
    [one] = read(hits_of(every[3]), [wrong, replace(every[2], end=7)], expand=2, budget=10_000).passages
    assert one.text == every[3].text


def test_what_comes_later_moves_no_number() -> None:
    """While an answer is written, passages are added: they are joined to each other, not to earlier ones."""
    every = passages_of(TEXT, trimmed(SPANS))
    other = passage(9, "Bees", BEES)
    first = Found(hits_of(every[3], other), [every[4]])
    later = Found(
        [hit(3, every[2]), hit(4, every[4]), hit(5, passage(8, "", BEES)), hit(6, passage(7, "", OIL))],
        [every[1], every[4], every[5]],
    )  # fmt: skip
    values = ContextSettings(expand=1)
    before = read_context([first], values, 10_000)
    after = read_context([first, later], values, 10_000)
    assert after.passages[:2] == before.passages
    assert [piece.passage_id for piece in before.passages[0].pieces] == ["d#3", "d#4"]
    assert [[piece.passage_id for piece in one.pieces] for one in after.passages[2:]] == [
        ["d#1", "d#2"],
        ["d7#0"],
    ]
    assert (after.joined, after.near_duplicates) == (1, 1)  # d#4 is read already, and d8 is a copy of d9
    assert after.holding == {0: 0, 1: 1, 2: 2, 3: 0, 5: 3}
    told = after.read([2, 0], cut=7)
    assert [(one.number, one.passage_ids) for one in told] == [(1, ("d#3",)), (3, ("d#1", "d#2"))]
    assert told[0].end == every[3].start + 7


def test_diversity_brings_what_differs_forward_and_is_off_by_default() -> None:
    same = "Violins were made in Cremona by famous makers"
    found = [
        hit(1, passage(1, "", f"{same} and sold.")), hit(2, passage(2, "", f"{same} for kings.")),
        hit(3, passage(3, "", BEES)),
    ]  # fmt: skip
    scored = [replace(one, score=score) for one, score in zip(found, (1.0, 0.9, 0.6), strict=True)]

    def order(diversity: float) -> list[int]:
        return [one.rank for one in diversified(scored, diversity)]

    assert order(0) == [1, 2, 3] and order(0.1) == [1, 2, 3]
    assert order(0.7) == order(1) == [1, 3, 2]
    assert [one.best.rank for one in read(scored).passages] == [1, 2, 3]
    assert [one.best.rank for one in read(scored, diversity=0.7).passages] == [1, 3, 2]
    equal = [replace(one, score=0.5) for one in scored]
    assert [one.rank for one in diversified(equal, 0.5)] == [1, 3, 2]


def test_a_date_is_that_of_the_named_field_alone() -> None:
    found = hit(1, passage(1, "Bees", BEES))
    dated = replace(found, metadata={"seen": date(2019, 12, 31), "note": "[1] <eos>"})
    assert read([dated], date="seen").passages[0].date == "2019-12-31"
    assert [read([one], date=name).passages[0].date for one, name in (
        (dated, "note"), (dated, "none"), (dated, None), (found, "seen"),
    )] == [""] * 4  # fmt: skip
    check_date(None, {})
    check_date("seen", {"seen": "date"})
    for name, kinds in (("note", {"note": "string", "seen": "date"}), ("see", {"seen": "date"})):
        with pytest.raises(ConfigError) as error:
            check_date(name, kinds)
        assert "seen" in error.value.hint
    with pytest.raises(ConfigError):
        check_date("x" * 5_000, {})
