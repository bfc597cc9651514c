"""What the service counts, through Ray's metrics: every node's exporter has them for Prometheus."""

from ray.serve.metrics import Counter, Gauge, Histogram

from retrieval.generation.answer import Answer
from retrieval.search.result import Result

_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000]


batch_sizes = Histogram(
    "corpusmill_batch_size", "Queries or about tokens that were worked on together.",
    [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048], ("what",),
)  # fmt: skip


class Metrics:
    """Of one ingress replica; Ray adds replica, deployment and node."""

    def __init__(self) -> None:
        self._stage = Histogram(
            "corpusmill_stage_ms", "Milliseconds of a stage of the query path.", _MS, ("stage",)
        )
        self._requests = Counter("corpusmill_requests", "Requests by route and status.", ("route", "status"))
        self._latency = Histogram(
            "corpusmill_request_ms", "Milliseconds of a request in the ingress.", _MS, ("route",)
        )
        self._partial = Counter("corpusmill_partial_answers", "Answers that some shards are missing from.")
        self._coverage = Gauge("corpusmill_coverage", "Share of the index that the last answer searched.")
        self._answers = Counter(
            "corpusmill_answers", "Answers, by whether passages supported them.", ("supported",)
        )
        self._removed = Counter("corpusmill_removed_citations", "Citations of no given passage.")
        self._characters = Gauge("corpusmill_generated_characters_per_second", "Of the last answer.")
        self.under_way = Gauge("corpusmill_under_way", "Requests that are worked on or wait.")
        self.version = Gauge("corpusmill_index_version", "Version of the index that answers.")
        self.refused = Gauge("corpusmill_refused_version", "Version that was refused, 0 for none.")

    def answered(self, result: Result) -> None:
        """Stages and coverage of an answer."""
        for stage, ms in result.timings_ms.items():
            self._stage.observe(ms, {"stage": stage})
        self._coverage.set(result.coverage.searched / max(1, result.coverage.passages))
        if not result.coverage.full:
            self._partial.inc()

    def wrote(self, answer: Answer) -> None:
        """An answer that was given."""
        self._answers.inc(1, {"supported": str(answer.supported).lower()})
        self._removed.inc(answer.removed_citations) if answer.removed_citations else None
        for stage, ms in answer.timings_ms.items():
            self._stage.observe(ms, {"stage": stage})
        seconds = answer.timings_ms.get("generation", 0) / 1000
        if seconds:
            self._characters.set(len(answer.answer) / seconds)

    def request(self, route: str, status: int, ms: float) -> None:
        """A request that ended."""
        self._requests.inc(1, {"route": route, "status": str(status)})
        self._latency.observe(ms, {"route": route})
