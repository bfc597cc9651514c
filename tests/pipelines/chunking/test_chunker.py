"""Chunking keeps its promises for any text: exact spans, full coverage, budgets, overlap."""

import random
from itertools import pairwise

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from pipelines.chunking.boundaries import sentences
from tests.tools.samples.chunking_samples import (
    PIECES,
    WORDPIECE,
    check_spans,
    chunker,
    encoded_length,
    hashed_vectors,
    prose,
    soup,
)

VARIANTS = [
    {"unit": "characters", "size": 40},
    {"unit": "characters", "size": 60, "overlap": 20},
    {"unit": "characters", "size": 30, "overlap": 29},
    {"size": 16},
    {"size": 40, "overlap": 12},
    {"size": 24, "overlap": 20},
    {"method": "fixed", "size": 16},
    {"method": "fixed", "size": 24, "overlap": 8},
    {"method": "semantic", "size": 24, "embed": hashed_vectors},
    {"method": "none"},
]


@pytest.fixture(scope="session")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small byte-level BPE tokenizer, as GPT-2 and RoBERTa have."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=800, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(
        [prose(400, seed) for seed in range(20)]
        + [piece for piece in PIECES if piece not in ("\ud800", "a" * 20)],
        trainer,
    )
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return str(path)


@pytest.fixture(scope="session")
def metaspace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small unigram tokenizer, as XLM-RoBERTa and T5 have."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=400, unk_token="<unk>", special_tokens=["<unk>"])
    pieces = [piece for piece in PIECES if piece.isprintable()]
    tokenizer.train_from_iterator([prose(400, seed) for seed in range(20)] + pieces, trainer)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return str(path)


@pytest.fixture(params=["wordpiece", "byte_level", "metaspace"])
def tokenizer_file(request: pytest.FixtureRequest) -> str:
    return WORDPIECE if request.param == "wordpiece" else request.getfixturevalue(request.param)


@pytest.mark.parametrize(
    "variant", VARIANTS, ids=lambda v: "-".join(str(x) for x in v.values() if not callable(x))
)
def test_every_character_is_in_a_trimmed_ascending_span(variant: dict, tokenizer_file: str) -> None:
    one = chunker(tokenizer_file, **variant)
    texts = [soup(seed) for seed in range(60)] + [prose(200)]
    titles = ["", "A title", "東京", "T" * 500] * 15 + ["Title"]
    for text, spans in zip(texts, one.split(titles, texts), strict=True):
        check_spans(text, spans, may_overlap="overlap" in variant)


@pytest.mark.parametrize(
    "variant", [v for v in VARIANTS if v.get("unit") != "characters" and v != {"method": "none"}]
)
def test_a_passage_with_its_title_and_prompt_fits_the_budget(variant: dict, tokenizer_file: str) -> None:
    prompt = "passage: "
    one = chunker(tokenizer_file, prompt=prompt, **variant | {"size": variant["size"] + 8})
    texts = [soup(seed, 300) for seed in range(40)] + [prose(300)]
    titles = ["", "Title", "Ann", "東京"] * 10 + ["A title"]
    for title, text, spans in zip(titles, texts, one.split(titles, texts), strict=True):
        for start, end in spans:
            piece = text[start:end]
            whole = f"{prompt}{title} {piece}" if title else prompt + piece
            if "\ufdfa" in piece:  # one character of 18 letters, which no cut makes shorter
                continue
            assert encoded_length(tokenizer_file, whole) + 2 <= one.size, (title, piece)


def test_wordpiece_budget_holds_for_any_text() -> None:
    one = chunker(size=32, overlap=6)
    texts = [soup(seed, 300).replace("\ufdfa", "") for seed in range(300)]
    for text, spans in zip(texts, one.split(["Ann"] * len(texts), texts), strict=True):
        for start, end in spans:
            assert encoded_length(WORDPIECE, f"Ann {text[start:end]}") + 2 <= 32, text[start:end]


def test_wordpiece_budget_holds_where_the_tokenizer_joins_words() -> None:
    rng = random.Random(0)
    for space in "\x0b\x0c\x1c\x85\u200b":  # dropped by BERT: "re<FF>trie<FF>val" is one word
        word = "re trie val pass age quant un aff able".split()
        text = " ".join(space.join(rng.choices(word, k=20)) for _ in range(100))
        for start, end in chunker(size=12).split([""], [text])[0]:
            assert encoded_length(WORDPIECE, text[start:end]) <= 10


def test_characters_fit_with_title_and_prompt() -> None:
    one = chunker(None, unit="characters", size=60, overlap=10, prompt="passage: ")
    texts = [soup(seed, 300) for seed in range(100)]
    for text, spans in zip(texts, one.split(["A title"] * 100, texts), strict=True):
        assert all(len(f"passage: A title {text[start:end]}") <= 60 for start, end in spans)


def test_passages_are_filled() -> None:
    text = prose(5000)
    for settings in ({"size": 64}, {"method": "fixed", "size": 64}):
        lengths = [
            encoded_length(WORDPIECE, text[a:b]) for a, b in chunker(**settings).split([""], [text])[0]
        ]
        least = 62 - 4 if "method" in settings else 31  # "quantizer" has 4 pieces and is not split
        assert min(lengths[:-1]) >= least, settings
        assert max(lengths) <= 62


def test_fixed_overlap_is_exact() -> None:
    text = " ".join(random.Random(0).choices(["one", "house", "of", "cards", "is", "blue"], k=1000))
    spans = chunker(method="fixed", size=66, overlap=16).split([""], [text])[0]
    for (_, before), (start, _) in pairwise(spans):
        assert encoded_length(WORDPIECE, text[start:before]) == 16


def test_recursive_overlap_starts_at_sentences_and_stays_within_its_size() -> None:
    text = prose(2000)
    starts = {start for start, _ in sentences(text)}
    spans = chunker(size=128, overlap=40).split([""], [text])[0]
    for (_, before), (start, _) in pairwise(spans):
        assert start in starts
        assert 0 < encoded_length(WORDPIECE, text[start:before]) <= 40


def test_a_long_title_leaves_half_of_the_budget_and_bounds_the_passages() -> None:
    text = prose(2000)
    one = chunker(method="fixed", size=64, overlap=30)
    plain, long = one.split(["", "very long title " * 50], [text, text])
    assert one.title_units == 31
    assert max(encoded_length(WORDPIECE, text[a:b]) for a, b in long) <= 31
    assert len(long) < 4 * len(plain)


def test_empty_and_white_space() -> None:
    for variant in VARIANTS:
        texts = ["", " ", "\n\r\u2029\t\x85", "a"]
        assert chunker(**variant).split(["", "t", "t", "t"], texts) == [[], [], [], [(0, 1)]]


def test_batching_does_not_change_the_result() -> None:
    texts = [soup(seed, 400) for seed in range(40)] + [prose(40_000)]
    titles = [str(seed) for seed in range(41)]
    for settings in ({"size": 64, "overlap": 8}, {"method": "semantic", "embed": hashed_vectors}):
        one = chunker(**settings)
        singly = [one.split([title], [text])[0] for title, text in zip(titles, texts, strict=True)]
        assert one.split(titles, texts) == singly


def test_a_long_document_is_cut_as_if_tokenized_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = prose(6000)
    whole = chunker(size=32).split(["t"], [text])
    monkeypatch.setattr("pipelines.chunking.chunker.SEGMENT_CHARACTERS", 2000)
    assert chunker(size=32).split(["t"], [text]) == whole
