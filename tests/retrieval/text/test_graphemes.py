"""Places between two grapheme clusters, against reading the whole text cluster by cluster."""

import random
import time

import pytest
import regex

from retrieval.text import cluster_end, cluster_start, sentences, whole_clusters
from retrieval.text.graphemes import MOST

FLAG, FAMILY = "\U0001f1e9\U0001f1ea", "\U0001f469\u200d\U0001f469\u200d\U0001f467"
PIECES = [
    "a", "e\u0301", " ", "\u0301", "\r\n", "\r", "\n", FLAG, FLAG[0], FAMILY, "\u200d", "\U0001f3fd",
    "\ufe0f",
    "1\ufe0f\u20e3", "\u00a9", "\u0915\u094d", "\u0937\u093f", "\u0e19\u0e49\u0e33", "\u1112", "\u1161",
    "\u11ab",
    "\uac01", "\u6f22", "\u3002", "\ufe00", "\u0600", "\u304b\u3099", "\u00ad",
    "\U0001f3f4\U000e0067\U000e007f",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_places_are_those_of_the_whole_text(seed: int) -> None:
    rng = random.Random(seed)
    text = "".join(rng.choices(rng.sample(PIECES, rng.randint(2, len(PIECES))), k=rng.randint(1, 60)))
    ends = [0, *(cluster.end() for cluster in regex.finditer(r"\X", text))]
    for at in range(len(text) + 1):
        assert cluster_start(text, at) == max(end for end in ends if end <= at)
        assert cluster_end(text, at) == min(end for end in ends if end >= at)


def test_a_long_row_of_flags_is_read_in_pairs() -> None:
    text = FLAG * 3000
    assert [cluster_start(text, at) for at in (4999, 5000, 5001)] == [4998, 5000, 5000]


def test_a_cluster_that_nobody_reads_ends() -> None:
    text = "a" + "\u0301" * 1_000_000
    began = time.process_time()
    for at in range(MOST + 1, len(text), 1000):
        assert cluster_start(text, at) == cluster_end(text, at) == at
    assert time.process_time() - began < 5
    assert whole_clusters(text, 3, 5) == (0, MOST)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\u5f7c\u3002\ufe00\u6b21\uff1f", ["\u5f7c\u3002\ufe00", "\u6b21\uff1f"]),
        # a form of the full stop
        ("One. \u0301Two.", ["One.", " \u0301Two."]),  # a space that carries a mark is no space
        ("\u0e01\u0e33. \u0e19\u0e49\u0e33", ["\u0e01\u0e33.", "\u0e19\u0e49\u0e33"]),
    ],
)
def test_sentences_split_no_cluster(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text)] == expected
