"""What a passage costs the encoder is bounded by its window, and its tokens are those of the whole text."""

import itertools
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models, normalizers, pre_tokenizers, trainers

from pipelines.chunking.methods.semantic import MOST_UNITS, semantic_groups
from retrieval.models.cross_encoders.cross_encoder import CrossEncoder
from retrieval.models.encoders.encoder import Encoder
from retrieval.models.encoders.tokenizer import Tokenizer
from retrieval.settings import CrossEncoderSettings, ModelSettings
from retrieval.text.sentence_split import sentences
from tests.tools.samples.chunking_samples import prose, soup

TEXTS: dict[str, Callable[[int], str]] = {
    "prose": lambda n: prose(n // 5)[:n],
    "one word": lambda n: "x" * n,
    "long words": lambda n: ("y" * 90 + " ") * (n // 91),
    "unknown words": lambda n: ("y" * 130 + " ") * (n // 131),
    "numbers": lambda n: "3.14159 2,718 " * (n // 14),
    "dots": lambda n: "." * n,
    "Chinese": lambda n: "检索引擎的索引" * (n // 7),
    "Japanese": lambda n: "検索エンジン。東京する？" * (n // 12),
    "Thai": lambda n: "กำลังค้นหา" * (n // 10),
    "Arabic": lambda n: "مرحبا بالعالم " * (n // 14),
    "combining": lambda n: "e\u0301" * (n // 2),
    "ligatures": lambda n: "\ufdfa " * (n // 2),
    "emoji": lambda n: ("\U0001f469\u200d\U0001f467" * 9 + " ") * (n // 28),
    "code": lambda n: "    if (x[i] != 0) {\n        y += f(x[i]);\n    }\n" * (n // 48),
    "table": lambda n: ("word" + " " * 60 + "|" + "\t" * 20 + "9\n") * (n // 87),
    "white space first": lambda n: " " * 20_000 + prose(2_000),
    "white space between": lambda n: ("word" + " " * 5_000) * (n // 5_004),
    "zero width": lambda n: "\u200bword" * (n // 5),
    "NUL": lambda n: "\x00" * 5_000 + prose(2_000),
    "hostile": lambda n: "".join(soup(i) for i in range(n // 400)),
}


def _backends() -> dict[str, Backend]:
    """Tokenizers of other kinds than WordPiece, trained on the texts themselves."""
    byte_level, metaspace = Backend(models.BPE()), Backend(models.Unigram())
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    metaspace.pre_tokenizer = pre_tokenizers.Metaspace()
    metaspace.normalizer = normalizers.NFKC()
    sample = [make(2_000).replace("\ud800", "") for make in TEXTS.values()]
    byte_level.train_from_iterator(sample, trainers.BpeTrainer(vocab_size=900, show_progress=False))
    metaspace.train_from_iterator(
        sample,
        trainers.UnigramTrainer(
            vocab_size=600, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
        ),
    )
    return {"BPE": byte_level, "Unigram": metaspace}


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    found = {"WordPiece": Tokenizer.open(ModelSettings())}
    for name, backend in _backends().items():
        found[name] = Tokenizer.open(ModelSettings())
        found[name]._tokenizer = backend
    for tokenizer in found.values():
        tokenizer._tokenizer.enable_truncation(tokenizer.max_tokens)
    left = found["from the end"] = Tokenizer.open(ModelSettings())
    left._tokenizer.enable_truncation(left.max_tokens, direction="left")
    left._keeps_end = True
    return found


@pytest.mark.parametrize("kind", ["WordPiece", "BPE", "Unigram", "from the end"])
@pytest.mark.parametrize("name", TEXTS)
def test_tokens_are_those_of_the_whole_text(tokenizers: dict[str, Tokenizer], kind: str, name: str) -> None:
    tokenizer = tokenizers[kind]
    texts = [TEXTS[name](n).replace("\ud800", "") for n in (300, 4_000, 7_000, 100_000)]
    titles = ["", "A title", "", "Another one"]
    found = tokenizer.tokenize_passages(titles, texts)
    for row, (title, text) in enumerate(zip(titles, texts, strict=True)):
        whole = tokenizer._tokenizer.encode((f"{title} " if title else "") + text)
        ours = found.ids[found.offsets[row] : found.offsets[row + 1]]
        assert ours.tolist() == whole.ids, (row, len(text))
        assert bool(found.truncated[row]) == bool(whole.overflowing)


def test_vectors_are_those_of_the_whole_text() -> None:
    encoder = Encoder.open(ModelSettings(device="cpu", dtype="float32"), sides={"passage"}, threads=1)
    texts = [make(30_000).replace("\ud800", "") for make in TEXTS.values()]
    backend = encoder._tokenizers["passage"]._tokenizer
    cut = [text[: backend.encode(text).offsets[-2][1]] for text in texts]  # as much as the window reads
    whole, alone = (
        encoder.encode_passages([""] * len(texts), texts),
        encoder.encode_passages([""] * len(cut), cut),
    )
    np.testing.assert_allclose(whole, alone, atol=1e-5)


_COST = """
import resource, sys, time
from retrieval.models.encoders import Tokenizer
from retrieval.settings import ModelSettings
from tests.retrieval.models.encoders.test_long_texts import TEXTS
tokenizer = Tokenizer.open(ModelSettings())
text = TEXTS[sys.argv[1]](6_000_000)
tokenizer.tokenize_passages([""], ["warm up " * 1000])
tokenizer.tokenize_passages([""], [text[:100_000]])
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
found = tokenizer.tokenize_passages([""] * 4, [text] * 4)
print(time.monotonic() - began, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
assert len(found.ids) <= 4 * tokenizer.max_tokens and found.truncated.all()
"""


@pytest.mark.parametrize(
    "name", ["prose", "one word", "unknown words", "dots", "Chinese", "white space between"]
)
def test_a_passage_of_millions_of_characters_costs_what_the_window_does(name: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _COST, name], capture_output=True, text=True, timeout=100, check=False
    )
    assert ran.returncode == 0, ran.stderr
    seconds, megabytes = map(float, ran.stdout.split())
    assert seconds < 5 and megabytes < 130


def _embed(asked: list[list[str]]) -> Callable[[list[str]], np.ndarray]:
    def embed(some: list[str]) -> np.ndarray:
        asked.append(some)
        angles = np.array([hash(text) % 1000 for text in some]) / 1000
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    return embed


@pytest.mark.parametrize(
    "count", [3, MOST_UNITS - 1, MOST_UNITS, MOST_UNITS + 1, 3 * MOST_UNITS + 5, 700_000]
)
def test_sentences_without_number_are_embedded_in_bounds(count: int) -> None:
    text = "Oh. Ah! " * (count // 2) + "Oh. " * (count % 2)
    asked: list[list[str]] = []
    before = time.monotonic()
    (groups,) = semantic_groups([text], _embed(asked), 90)
    assert time.monotonic() - before < 20
    units = sum(len(some) for some in asked)
    assert units == count if count <= MOST_UNITS else MOST_UNITS / 2 < units <= MOST_UNITS
    assert "".join("".join(some) for some in asked).replace(" ", "") == text.replace(" ", "")
    assert (groups[0][0], groups[-1][1]) == (0, len(text))
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(groups))
    if count < 100_000:
        assert {start for start, _ in groups} <= {start for start, _ in sentences(text)}


@pytest.mark.parametrize("name", ["prose", "long words", "Chinese", "code", "table", "numbers"])
def test_a_cross_encoder_reads_as_much_of_a_passage(cross_encoder: CrossEncoder, name: str) -> None:
    pair = ("which function solves it?", TEXTS[name](60_000))
    (cut,) = cross_encoder._prepared([pair], 0)
    assert len(cut[1]) < len(pair[1])
    ours, whole = (cross_encoder._runtime.tokenize([each]) for each in (cut, pair))
    assert ours.encodings[0].ids == whole.encodings[0].ids
    assert ours.truncated.tolist() == whole.truncated.tolist() == [True]


@pytest.fixture(scope="module")
def cross_encoder() -> CrossEncoder:
    return CrossEncoder.open(CrossEncoderSettings(), threads=1)
