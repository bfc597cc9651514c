"""What the service counts, through Ray's metrics: every node's exporter has them for Prometheus."""

from collections.abc import Sequence

from ray.serve.metrics import Counter, Gauge, Histogram

from retrieval.results import Answer, Result

_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000]


batch_sizes = Histogram(
    "corpusmill_batch_size", "Queries or about tokens that were worked on together.",
    [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048], ("what",),
)  # fmt: skip


_waiting = Gauge("corpusmill_waiting", "Requests that wait to be worked on with others.", ("what",))
_lookups = Counter("corpusmill_cache_lookups", "Query vectors looked up in the cache.", ("found",))


def waits(what: str, number: int) -> None:
    """So many requests wait for a batch."""
    _waiting.set(number, {"what": what})


def looked_up(found: int, missed: int) -> None:
    """Queries whose vectors were known, and others."""
    for number, tag in ((found, "true"), (missed, "false")):
        if number:
            _lookups.inc(number, {"found": tag})


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
        self._tokens = Counter("corpusmill_generated_tokens", "Tokens that the generator wrote.")
        self._speed = Histogram(
            "corpusmill_generated_tokens_per_second", "Of an answer, from its first token on.",
            [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000],
        )  # fmt: skip
        self.under_way = Gauge("corpusmill_under_way", "Requests that are worked on or wait.")
        self.version = Gauge("corpusmill_index_version", "Version of the index that answers.")
        self.refused = Gauge("corpusmill_refused_version", "Version that was refused, 0 for none.")
        self.latest_problem = Gauge(
            "corpusmill_latest_problem", "1 while what LATEST names cannot be told, or was refused."
        )
        self.ready = Gauge("corpusmill_ready", "1 while a version answers, 0 while every search fails.")

    def answered(self, results: Sequence[Result]) -> None:
        """Stages and coverage of a request, whose queries go through every stage together."""
        for stage, ms in results[0].timings_ms.items():
            self._stage.observe(ms, {"stage": stage})
        coverage = results[0].coverage
        self._coverage.set(coverage.searched / max(1, coverage.passages))
        if not coverage.full:
            self._partial.inc()

    def wrote(self, answer: Answer) -> None:
        """An answer that was given."""
        self._answers.inc(1, {"supported": str(answer.supported).lower()})
        if answer.removed_citations:
            self._removed.inc(answer.removed_citations)
        for stage, ms in answer.timings_ms.items():
            self._stage.observe(ms, {"stage": stage})
        if answer.tokens:
            self._tokens.inc(answer.tokens)
            self._speed.observe(answer.tokens_per_second)

    def request(self, route: str, status: int, ms: float) -> None:
        """A request that ended."""
        self._requests.inc(1, {"route": route, "status": str(status)})
        self._latency.observe(ms, {"route": route})
