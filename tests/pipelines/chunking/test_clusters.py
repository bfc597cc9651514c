"""No passage begins or ends inside a grapheme cluster, whatever cuts it; a word of any length is cut."""

import random
import time
from itertools import pairwise

import pytest
import regex

from pipelines.chunking.chunker import _whole
from tests.tools.samples.chunking_samples import check_spans, chunker, hashed_vectors

CLUSTERS = [
    "\U0001f1e9\U0001f1ea", "1\ufe0f\u20e3", "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "\u0e19\u0e49\u0e33", "\u0e01\u0e34", "\u0915\u094d\u0937\u093f", "\u0bb8\u0bcd\u0bb0\u0bc0",
    "\u1112\u1161\u11ab",
    "e\u0323\u0302", "\u304b\u3099", "\U0001f44d\U0001f3fd", "\u6f22\U000e0100", "\u3002\ufe00", "\r\n",
    "a ", " \u0301",
]  # fmt: skip
VARIANTS = [
    {"unit": "characters", "size": 8},
    {"unit": "characters", "size": 23, "overlap": 10},
    {"size": 16},
    {"size": 24, "overlap": 12},
    {"method": "fixed", "size": 16},
    {"method": "fixed", "size": 24, "overlap": 12},
    {"method": "semantic", "size": 16, "embed": hashed_vectors},
    {"method": "none"},
]


@pytest.mark.parametrize(
    "variant", VARIANTS, ids=lambda v: "-".join(str(x) for x in v.values() if not callable(x))
)
def test_passages_split_no_cluster(variant: dict) -> None:
    rng = random.Random(0)
    texts = [
        "".join(rng.choices(rng.sample(CLUSTERS, rng.randint(1, 6)), k=rng.randint(1, 300)))
        for _ in range(40)
    ]
    for text, spans in zip(texts, chunker(**variant).split([""] * len(texts), texts), strict=True):
        check_spans(text, spans, may_overlap="overlap" in variant)
        ends = {0, *(cluster.end() for cluster in regex.finditer(r"\X", text))}
        assert all(start in ends and end in ends for start, end in spans)


def test_spans_of_a_plug_in_are_widened_to_whole_clusters() -> None:
    text = "ae\u0301io\u0301u"
    assert _whole(text, [(0, 2), (2, 4), (4, 7)]) == [(0, 3), (1, 4), (4, 7)]
    assert _whole(text, [(1, 2), (2, 5)]) == [(1, 6)]


@pytest.mark.parametrize("unit", ["x", "\u0301", "\U0001f1e9\U0001f1ea", "\u0e19\u0e49\u0e33"])
@pytest.mark.parametrize("variant", VARIANTS[1:6:2], ids=str)
def test_a_word_of_any_length_gives_bounded_passages(unit: str, variant: dict) -> None:
    text = unit * (300_000 // len(unit))
    began = time.process_time()
    spans = chunker(**variant).split([""], [text])[0]
    assert max(end - start for start, end in spans) <= 32 * variant["size"]
    assert spans[0][0] == 0 and spans[-1][1] == len(text)
    assert all(before >= start for (_, before), (start, _) in pairwise(spans))
    assert time.process_time() - began < 30
