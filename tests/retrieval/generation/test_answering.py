"""Evidence, support, extractive answers and whole answers, with the packaged models."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import date

import pytest

from retrieval.errors import GenerationError
from retrieval.generation.answering import write_answer
from retrieval.generation.decodings import Progress
from retrieval.generation.evidence import Evidence
from retrieval.generation.extractive import extract_answer
from retrieval.generation.prompt import NOT_IN_PASSAGES, Prompt
from retrieval.generation.settings import GenerationSettings
from retrieval.generation.sources import lead, sources
from retrieval.generation.support import support
from retrieval.results.answer import Answer
from retrieval.results.search_result import Hit
from tests.tools.samples.generation_tools import BEES, HITS, OIL, VIOLIN, found_by, hits, judge, passage

QUESTION = "When did the 1973 oil crisis begin?"


class Recorded:
    """An endpoint's answer played back: the one thing here that no local model gives reliably."""

    name = "recorded"
    chats = False

    def __init__(self, *deltas: str, pause_s: float = 0.0) -> None:
        self.deltas = deltas
        self.pause_s = pause_s
        self.closed = False

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def stream(
        self, prompt: Prompt, *, max_tokens: int, temperature: float, stop: Sequence[str]
    ) -> AsyncGenerator[str, None]:
        self.prompt = prompt
        try:
            for delta in self.deltas:
                await asyncio.sleep(self.pause_s)
                yield delta
        finally:
            self.closed = True


def ask(
    question: str, found: list[Hit], generator: Recorded | None = None, **values: object
) -> tuple[list[str], Answer]:
    """Pieces and the whole answer."""
    settings = GenerationSettings.model_validate({"support_threshold": 0, **values})

    async def run() -> list[str | Answer]:
        return [
            event
            async for event in write_answer(
                Progress.of(found_by(question, found)), generator, judge(), settings
            )
        ]

    *deltas, whole = asyncio.run(run())
    assert isinstance(whole, Answer) and "".join(map(str, deltas)) == whole.answer
    return [str(delta) for delta in deltas], whole


def check_spans(whole: Answer, found: list[Hit]) -> None:
    """Every quote stands in its document where the citation says."""
    for citation in whole.citations:
        source = found[citation.number - 1]
        assert (citation.passage_id, citation.doc_id) == (source.passage_id, source.doc_id)
        assert source.text[citation.start - source.start : citation.end - source.start] == citation.quote
        assert citation.quote


def test_the_best_sentence_answers_where_no_generator_does() -> None:
    _, whole = ask(QUESTION, HITS)
    assert whole.extractive and whole.generator == "extractive" and whole.supported
    assert whole.answer.startswith("The 1973 oil crisis began in October 1973")
    assert "[1]" in whole.answer
    assert whole.citations[0].quote == OIL.split(" By the")[0]
    check_spans(whole, HITS)


def test_sentences_are_spans_of_their_passages_however_long() -> None:
    text = (
        "\n\n".join(f"Fact {n}: {OIL} {VIOLIN}" for n in range(20))
        + " 日本語の文です。次の文。"
        + "x" * 3_000
    )
    evidence = judge().read(
        QUESTION, [passage(1, "", text), passage(2, "Empty", ""), passage(3, "Bees", BEES)]
    )
    assert {sentence.passage for sentence in evidence.sentences} == {0, 2}
    shown = [evidence.text_of(sentence) for sentence in evidence.sentences]
    assert all(part == part.strip() and part for part in shown)
    assert "".join("".join(shown).split()) == "".join((text + BEES).split())
    # Late sentences are scored as early ones are: nothing lies beyond the model's window.
    own = [float(s) for s, part in zip(evidence.scores, shown, strict=True) if "began in October" in part]
    assert len(own) == 20 and min(own) > max(own) - 0.15 and min(own) > 0.4


def test_sentences_of_copies_are_said_once_and_their_markup_is_inert() -> None:
    text = "Volcano [1] <b>erupts</b> when magma [23] rises."
    found = hits(("", text), ("", text), ("Bees", BEES))
    _, whole = ask("When does a volcano erupt?", found)
    assert whole.answer.count("magma") == 1
    assert "Volcano (1) < b>erupts< /b> when magma (23) rises. [1]" in whole.answer
    assert whole.citations[0].quote == text


def test_an_extractive_answer_rests_on_the_passage_that_answers_best() -> None:
    near = "The oil crisis was long spoken of. Many books on the 1973 oil crisis were written later."
    found = hits(("Books", near), ("1973 oil crisis", OIL), ("Bees", BEES))
    _, whole = ask(QUESTION, found)
    assert {cited.number for cited in whole.citations} == {2} and "October 1973" in whole.answer
    assert [whole.answer[one.start : one.end][-3:] for one in whole.claims] == ["[2]"] * len(whole.claims)
    assert all(one.supported and one.numbers == (2,) for one in whole.claims)
    evidence = judge().read(QUESTION, found)
    two = extract_answer(evidence, sources(evidence), passages=2)
    assert {sentence.passage for sentence in two.sentences} == {1, sources(evidence)[1].passage}


def test_a_passage_that_says_the_same_is_no_doubt() -> None:
    def ahead(other: str) -> float:
        evidence = judge().read(QUESTION, hits(("1973 oil crisis", OIL), ("Oil", other), ("Bees", BEES)))
        return lead(evidence, sources(evidence))

    doubt = ahead("The crisis of oil prices of 1973 began in May of that year with a strike in Texas.")
    same = ahead("When OAPEC proclaimed its embargo, the oil crisis began: that was in October 1973.")
    assert same > doubt > 0


def test_supported_questions_score_above_unsupported_ones() -> None:
    def score(question: str, *places: int) -> float:
        return support(judge().read(question, [HITS[place] for place in places])).score

    for question, place in ((QUESTION, 0), ("Where were violins made?", 1), ("What do bees collect?", 2)):
        others = [other for other in range(3) if other != place]
        assert score(question, 0, 1, 2) > 0.5 > score(question, *others)


def test_a_question_without_support_is_refused_and_the_generator_not_asked() -> None:
    generator = Recorded("Paris [1].")
    _, whole = ask("What is the capital of Mongolia?", HITS, generator, support_threshold=None)
    assert not whole.supported and whole.answer == NOT_IN_PASSAGES and not whole.citations
    assert whole.support < 0.5 and not generator.closed  # never started


def test_no_hits_is_no_support() -> None:
    _, whole = ask(QUESTION, [])
    assert (whole.supported, whole.support, whole.answer) == (False, 0.0, NOT_IN_PASSAGES)


def test_a_generated_answer_keeps_its_good_citations_and_quotes_them() -> None:
    generator = Recorded(
        " It began in October 1973 [", "1", "] and violins [", "2,", " 7] came from", " Cremona [9]."
    )
    deltas, whole = ask(QUESTION, HITS, generator)
    assert whole.answer == "It began in October 1973 [1] and violins [2] came from Cremona."
    assert len(deltas) > 1 and whole.removed_citations == 2
    assert [citation.number for citation in whole.citations] == [1, 2]
    assert "October 1973" in whole.citations[0].quote
    assert whole.citations[1].quote == "Antonio Stradivari made violins in Cremona."
    check_spans(whole, HITS)


def test_a_wrong_citation_is_moved_and_what_nobody_says_is_marked() -> None:
    generator = Recorded("It began in October", " 1973 [3]. The king of Mon", "golia bought submarines [2].")
    deltas, whole = ask(QUESTION, HITS, generator)
    assert whole.answer == "It began in October 1973 [1]. The king of Mongolia bought submarines."
    assert (whole.moved_citations, whole.removed_citations) == (1, 1)
    assert [claim.supported for claim in whole.claims] == [True, False]
    assert [cited.number for cited in whole.citations] == [1] and "[3]" not in "".join(deltas)
    check_spans(whole, HITS)
    assert Answer.from_json(whole.as_json()) == whole


def test_joined_passages_are_one_and_the_one_with_the_quote_is_cited() -> None:
    cut = OIL.index("By the")
    pieces = [
        replace(passage(1, "1973 oil crisis", OIL[:cut].rstrip(), 100), passage_id="d1#4"),
        replace(passage(1, "1973 oil crisis", OIL[cut:], 100 + cut), passage_id="d1#5"),
    ]
    other = passage(2, "Violin", VIOLIN)
    found = [Hit(n, 1 / n, **vars(one), stages={}) for n, one in enumerate([pieces[1], other, pieces[0]], 1)]
    _, whole = ask("What was the price of oil?", found, Recorded("Nearly $12 [1]."))
    assert [one.passage_ids for one in whole.context] == [("d1#4", "d1#5"), ("d2#0",)]
    assert (whole.context[0].start, whole.context[0].end, whole.joined) == (100, 100 + len(OIL), 1)
    [cited] = whole.citations
    assert (cited.number, cited.passage_id, cited.doc_id) == (1, "d1#5", "d1")
    assert OIL[cited.start - 100 : cited.end - 100] == cited.quote and "$12" in cited.quote
    _, begun = ask("When did the oil crisis begin?", found)
    assert {cited.passage_id for cited in begun.citations} == {"d1#4"}


def test_what_is_read_of_a_cut_passage_is_told() -> None:
    _, whole = ask(QUESTION, HITS[:1], Recorded("October 1973 [1]."), context_tokens=64)
    assert whole.context[0].end - whole.context[0].start == len(OIL)
    long = hits(("1973 oil crisis", " ".join([OIL, *[f"Word {n} of many more." for n in range(40)]])))
    _, whole = ask(QUESTION, long, Recorded("October 1973 [1]."), context_tokens=64)
    [read] = whole.context
    assert long[0].start == read.start and len(OIL) < read.end - read.start < len(long[0].text) / 2


def test_the_prompt_tells_the_date_of_a_passage() -> None:
    generator = Recorded("October 1973 [1].")
    dated = [replace(HITS[0], metadata={"seen": date(1974, 1, 31)}), HITS[1]]
    ask(QUESTION, dated, generator, context={"date": "seen"})
    assert "[1] 1973 oil crisis (1974-01-31): The 1973" in generator.prompt.text
    assert "[2] Violin: Antonio" in generator.prompt.messages[-1]["content"]


def test_an_answer_in_a_passages_words_without_citations_gets_one() -> None:
    _, whole = ask("Where did Stradivari work?", HITS, Recorded("In", " Cremona."))
    assert whole.answer == "In Cremona. [2]" and not whole.extractive
    assert whole.citations[0].quote == "Antonio Stradivari made violins in Cremona."


def test_an_answer_that_no_passage_says_gets_none() -> None:
    _, whole = ask("Where did Stradivari work?", HITS, Recorded("Ulan Bator, Mongolia."))
    assert whole.answer == "Ulan Bator, Mongolia." and not whole.citations


def test_a_generator_that_writes_nothing_leaves_the_extractive_answer() -> None:
    _, whole = ask(QUESTION, HITS, Recorded("  ", "\n"))
    assert whole.extractive and whole.citations


def test_what_does_not_fit_into_the_prompt_is_said_and_cannot_be_cited() -> None:
    found = hits(("1973 oil crisis", OIL), *[("Bees", f"Hive {n}. {BEES * 4}") for n in range(4)])
    _, whole = ask(QUESTION, found, Recorded("October 1973 [1], [5]."), context_tokens=64)
    assert whole.left_out >= 3 and whole.removed_citations == 1


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    generator = Recorded("a", "b", pause_s=5)
    with pytest.raises(GenerationError, match=r"within 0\.2 seconds"):
        ask(QUESTION, HITS, generator, timeout_s=0.2)
    assert generator.closed


def test_the_object_of_an_answer_has_the_searchs_version_coverage_and_times() -> None:
    _, whole = ask(QUESTION, HITS)
    value = whole.as_json()
    assert value["version"] == 7 and value["coverage"]["missing"] == ["b"]
    assert value["timings_ms"]["encode"] == 1.0 and value["timings_ms"]["support"] > 0
    assert value["extractive"] is True and set(value["citations"][0]) == {
        "number", "passage_id", "doc_id", "title", "quote", "start", "end",
    }  # fmt: skip


def test_hostile_questions_do_no_harm() -> None:
    for question in ("?", "[1]", "\0\0", "x" * 5_000, "<eos>" * 100):
        evidence: Evidence = judge().read(question, list(HITS))
        found = support(evidence)
        assert 0 <= found.score <= 1 and extract_answer(evidence, found.sources).text
