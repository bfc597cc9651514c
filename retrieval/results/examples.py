"""Examples of results, as the service's description of itself shows them."""

from retrieval.format import Passage
from retrieval.results.answer import Answer, Citation, Claim, ReadPassage
from retrieval.results.search_result import Coverage, Hit, Reranked, RerankResult, Result, StageScore

QUESTION = "when are tides highest?"
FIRST = "The Moon pulls on the water of the oceans. "
BEST = "When Sun, Moon and Earth stand in a line, the tides are highest: these are spring tides."
PASSAGE = Passage("a1#0", "a1", "Tides", FIRST + BEST, 0, len(FIRST + BEST), "articles.jsonl", {"year": 2019})
COVERAGE = Coverage.of(110_000, 110_000)
HIT = Hit(1, 0.97, **vars(PASSAGE), stages={"dense": StageScore(1, 0.71), "lexical": StageScore(1, 12.4)})
RESULT = Result(
    query=QUESTION,
    version=3,
    truncated=False,
    coverage=COVERAGE,
    timings_ms={"encode": 5.1, "dense": 1.4, "lexical": 1.2, "fusion": 0.2, "total": 8.3},
    hits=(HIT,),
)
ANSWER = Answer(
    question=QUESTION,
    answer=f"{BEST} [1]",
    supported=True,
    support=0.94,
    generator="extractive",
    extractive=True,
    citations=(Citation(1, "a1#0", "a1", "Tides", BEST, len(FIRST), len(FIRST + BEST)),),
    removed_citations=0,
    left_out=0,
    tokens=0,
    version=3,
    coverage=COVERAGE,
    timings_ms={"total": 74.2},
    context=(ReadPassage(1, ("a1#0",), "a1", "Tides", 0, len(FIRST + BEST)),),
    claims=(Claim(0, len(f"{BEST} [1]"), True, 1.0, (1,)),),
)
RERANKED = RerankResult(3, [Reranked(1, 21.6), Reranked(0, 9.3)])
