"""Every kind of model from two threads at once, against what one thread alone computes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from retrieval.models.cross_encoders.cross_encoder import CrossEncoder
from retrieval.models.encoders.encoder import Encoder
from retrieval.models.late_interaction.opening import open_token_encoder
from retrieval.search.searcher import Searcher
from retrieval.settings import CrossEncoderSettings, LateInteractionSettings, ModelSettings
from tests.tools.samples.encoder_models import (
    TEXTS,
    TITLES,
    cross_encoder_folder,
    model_folder,
    router_folder,
)
from tests.tools.samples.late_models import LAYOUTS

ROUNDS = 60
# Of different lengths, so that truncation and padding of one call show in another.
QUERIES = ["river", "least squares of a matrix", "vector search " * 40, "naïve Café: 42?"]
Work = Callable[[int], Any]


def together(work: Work, rounds: int = ROUNDS) -> None:
    """Have two threads do `work`, each with other numbers at a time, and compare with one thread alone."""
    numbers = range(len(QUERIES))
    expected = [work(number) for number in numbers]
    start = Barrier(2)

    def run(first: int) -> None:
        start.wait()
        for turn in range(rounds):
            number = (first + turn) % len(numbers)
            same(work(number), expected[number])

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(run, first) for first in (0, 2)]:
            done.result()


def same(found: Any, expected: Any) -> None:
    """Fails where two results differ by more than the order of sums."""
    if isinstance(expected, np.ndarray):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-5)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    else:
        assert found == expected


def passages(number: int) -> tuple[list[str], list[str]]:
    return TITLES[number::4], TEXTS[number::4]


@pytest.mark.parametrize(
    "make", [model_folder, lambda folder: model_folder(folder, kind="electra"), router_folder],
    ids=["packed", "padded", "router"],
)  # fmt: skip
def test_bi_encoders(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    encoder = Encoder.open(ModelSettings(name=str(make(tmp_path / "model")), dtype="float32"), threads=1)
    together(lambda n: (encoder.encode_queries([QUERIES[n]]), encoder.encode_passages(*passages(n))))


@pytest.mark.parametrize("kind", ["bare", *LAYOUTS])
def test_token_encoders(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "model"
    folder = model_folder(folder) if kind == "bare" else LAYOUTS[kind](folder).folder
    model = ModelSettings(name=str(folder), dtype="float32")
    encoder = open_token_encoder(LateInteractionSettings(model=model), ModelSettings(), threads=1)

    def work(number: int) -> Any:
        titles, texts = passages(number)
        return (
            encoder.encode_queries([QUERIES[number]]), encoder.query_tokens(QUERIES[number]),
            encoder.encode_passages(titles, texts).vectors, encoder.passage_tokens(titles[0], texts[0]),
        )  # fmt: skip

    together(work)


@pytest.mark.parametrize("kind", ["packaged", "transformer"])
def test_cross_encoders(tmp_path: Path, kind: str) -> None:
    settings = CrossEncoderSettings()
    if kind == "transformer":
        folder = cross_encoder_folder(tmp_path / "model")
        settings = CrossEncoderSettings(model=ModelSettings(name=str(folder), dtype="float32"))
    model = CrossEncoder.open(settings, threads=1)
    together(
        lambda n: model.scores([(QUERIES[n], text) for text in TEXTS[n::4]]),
        ROUNDS if kind != "packaged" else 6,
    )


def test_encoders_of_one_model(tmp_path: Path) -> None:
    """Its modules are the same objects, and so is the tokenizer that comes with them."""
    folder = model_folder(tmp_path / "model")
    settings = ModelSettings(name=str(folder), dtype="float32")
    encoder = Encoder.open(settings, threads=1)
    tokens = open_token_encoder(LateInteractionSettings(), settings, threads=1)
    together(lambda n: encoder.encode_queries([QUERIES[n]]) if n % 2 else tokens.encode_queries([QUERIES[n]]))


def test_models_are_opened_and_used_at_once(tmp_path: Path) -> None:
    """What a library sets for the whole process while it loads a model does not reach another model."""
    folders = [model_folder(tmp_path / f"model-{seed}", seed=seed) for seed in range(4)]
    precisions = ["float32", "bfloat16", "float32", "bfloat16"]

    def work(number: int) -> np.ndarray:
        settings = ModelSettings(name=str(folders[number]), dtype=precisions[number])
        return Encoder.open(settings, threads=1).encode_queries([QUERIES[number]])

    together(work, 8)


def test_a_searcher(served_index: Path) -> None:
    questions = [
        "What rises in the hills of Tarn?",
        "glaciers",
        "who built the lighthouse of Brell",
        "clocks",
    ]
    with Searcher.open(str(served_index), threads=1) as search:

        def work(number: int) -> Any:
            found = [
                search(questions[number], 5, rerank=rerank, explain=number == 1)
                for rerank in ("none", "late-interaction", "cross-encoder")[: 2 + number % 2]
            ]
            return [[(hit.passage_id, hit.score) for hit in result.hits] for result in found]

        expected = [work(number) for number in range(4)]
        assert len({tuple(map(tuple, found[0])) for found in expected}) == 4
        together(lambda n: [[key for key, _ in found] for found in work(n)], 6)
