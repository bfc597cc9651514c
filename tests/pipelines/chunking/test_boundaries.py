"""Where chunking cuts, and which settings it refuses or warns of."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.chunking.boundaries import sentences
from pipelines.chunking.chunker import Chunker
from pipelines.chunking.settings import ChunkSettings
from retrieval.errors import ConfigError, ModelError
from tests.tools.samples.chunking_samples import check_spans, chunker, hashed_vectors

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
CJK = "一二三四五六七八九十"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two three.\n\nfour five six. seven\neight", ["one two three.", "four five six. seven\neight"]),
        ("one two three\r\n\r\nfour five six seven eight", ["one two three", "four five six seven eight"]),
        (
            "one two three. Four\nfive six seven eight nine",
            ["one two three. Four", "five six seven eight nine"],
        ),
        (
            "one two three four. Five six seven eight nine",
            ["one two three four.", "Five six seven eight nine"],
        ),
        ("one two three four five six seven eight", ["one two three four five six", "seven eight"]),
        ("x" * 70, ["x" * 30, "x" * 30, "x" * 10]),
        (f"{CJK}{CJK}。{CJK}", [f"{CJK}{CJK}。", CJK]),
        ("a" * 29 + "e\u0301" + "b" * 5, ["a" * 29, "e\u0301" + "b" * 5]),
        ("a" * 28 + FAMILY + "b", ["a" * 28, FAMILY + "b"]),
        (
            "one\ttwo three four\u2028five\u00a0six seven eight",
            ["one\ttwo three four", "five\u00a0six seven eight"],
        ),
        (
            "one\ttwo\tthree\tfour\u00a0five\u3000six\tseven",
            ["one\ttwo\tthree\tfour\u00a0five\u3000six", "seven"],
        ),
    ],
)
def test_cuts_at_the_highest_boundary(text: str, expected: list[str]) -> None:
    spans = chunker(None, unit="characters", size=30).split([""], [text])[0]
    assert [text[a:b] for a, b in spans] == expected


def test_sentences() -> None:
    text = 'Dr. Who met J. R. Smith, e.g. in Rome. "Is it so?" he asked. Yes!\n\nA list (of 2.) 彼。次？ end'
    assert [text[a:b] for a, b in sentences(text)] == [
        "Dr. Who met J. R. Smith, e.g. in Rome.", '"Is it so?" he asked.', "Yes!", "A list (of 2.)",
        "彼。", "次？", "end",
    ]  # fmt: skip
    assert sentences(" \n ") == []
    assert sentences("One here. Two there. Three.", 10, 20) == [(10, 20)]


def test_none_is_the_whole_text_trimmed_and_needs_no_tokenizer() -> None:
    one = Chunker.open(
        ChunkSettings(method="none"), tokenizer_file=None, max_tokens=None, special_tokens=0, prompt="",
        embed_sentences=None,
    )  # fmt: skip
    assert one.split(["t"], ["  " + "word " * 5000]) == [[(2, 25_001)]]


def test_semantic_breaks_where_the_topic_changes_within_the_budget() -> None:
    cats = "Cats purr when cats sleep well. Cats sleep when cats purr."
    rocks = "Granite rocks hold quartz minerals. Quartz minerals hold granite rocks."
    texts = [f"{cats} {rocks}", "Only one. Sentence pair."]
    calls: list[int] = []

    def embed(texts: list[str]) -> np.ndarray:
        calls.append(len(texts))
        return hashed_vectors(texts)

    one = chunker(method="semantic", embed=embed, semantic_percentile=90)
    spans, short = one.split(["", ""], texts)
    assert [texts[0][a:b] for a, b in spans] == [cats, rocks]
    assert short == [(0, len(texts[1]))]
    assert calls == [4]
    many = " ".join([cats, rocks] * 600)
    check_spans(many, one.split(["", ""], [texts[0], many])[1], may_overlap=False)
    assert max(calls) <= 512


@pytest.mark.parametrize(
    "text",
    ["x" * 1_000_000, "." * 300_000, " . " * 100_000, "\n" * 1_000_000 + "b", "a" + " " * 1_000_000 + "b"],
)
def test_degenerate_long_texts(text: str) -> None:
    for settings in (
        {},
        {"unit": "characters", "size": 1000},
        {"method": "semantic", "embed": hashed_vectors},
    ):
        check_spans(text, chunker(**settings).split([""], [text])[0], may_overlap=False)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"overlap": 300}, "chunk.overlap: 300"),
        ({"size": 64, "overlap": 64}, "chunk.overlap: 64"),
        ({"method": "fixed", "unit": "characters", "size": 100}, "fixed counts tokens"),
        ({"method": "semantic"}, "semantic needs"),
        ({"size": 8, "prompt": "a prompt of many more words"}, "chunk.size: 8 tokens leave 0"),
        ({"max_tokens": None}, "chunk.size is not set"),
        ({"tokenizer_file": None}, "no tokenizer file"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        chunker(**settings)
    assert caught.value.hint


def test_a_broken_tokenizer_file_is_named(tmp_path: Path) -> None:
    for content in ("{", json.dumps({"model": {}})):
        path = tmp_path / "tokenizer.json"
        path.write_text(content)
        with pytest.raises(ModelError, match=r"tokenizer\.json"):
            chunker(str(path))


def test_warnings_say_what_the_user_should_know() -> None:
    assert chunker(size=256).warnings == ()
    assert "model reads 256" in chunker(size=300).warnings[0]
    characters = chunker(None, unit="characters")
    assert characters.size == 1024
    assert "1024 characters" in characters.warnings[0]
