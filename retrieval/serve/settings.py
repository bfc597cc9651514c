"""Settings of the service; `serve.yaml` passes them as the application's arguments."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from retrieval.generation import GenerationSettings
from retrieval.models import Trust
from retrieval.settings import Settings


class Autoscaling(Settings):
    """Replicas between two bounds, by the requests that each has under way."""

    min_replicas: int = Field(1, ge=1, description="Replicas that are always there.")
    max_replicas: int = Field(4, ge=1, description="Most replicas.")
    target_ongoing_requests: float = Field(8, gt=0, description="Requests a replica should have under way.")


class Placement(Settings):
    """Where and how often one deployment runs, and how much it takes at a time."""

    replicas: int = Field(1, ge=1, description="Replicas, where they are not scaled automatically.")
    autoscaling: Autoscaling | None = Field(None, description="Scale automatically.")
    max_ongoing: int = Field(32, ge=1, description="Requests that a replica works on at a time.")
    max_queued: int = Field(
        128, ge=1, description="Requests that each caller keeps waiting; more are refused."
    )
    cpus: float = Field(1, ge=0, description="CPUs that a replica reserves.")
    gpus: float = Field(0, ge=0, description="GPUs that a replica reserves.")
    resources: dict[str, float] = Field({}, description="Custom Ray resources that a replica reserves.")

    @property
    def several(self) -> bool:
        """Whether there may be more than one replica."""
        return self.replicas > 1 or self.autoscaling is not None

    @property
    def least(self) -> int:
        """Replicas that are always there."""
        return self.autoscaling.min_replicas if self.autoscaling else self.replicas

    def options(self, longest_s: float) -> dict[str, Any]:
        """As Ray Serve's deployment options. longest_s: seconds that a request may take, which a replica that
        is to stop waits for."""
        actor = {"num_cpus": self.cpus, "num_gpus": self.gpus, "resources": self.resources}
        scale: dict[str, Any] = {"num_replicas": self.replicas}
        if self.autoscaling is not None:
            scale = {"autoscaling_config": self.autoscaling.model_dump()}
        return {
            **scale,
            "ray_actor_options": actor,
            "max_ongoing_requests": self.max_ongoing,
            "max_queued_requests": self.max_queued,
            # A new replica comes before an old one goes: else an update of one replica is an outage.
            "max_surge_percent": 100,
            "backpressure_config": {"status_code": 503, "retry_after_s": 1},
            "health_check_period_s": 5,
            "graceful_shutdown_timeout_s": longest_s,
        }


class IngressPlacement(Placement):
    """The HTTP interface; where the service is placed together, with everything in it."""

    max_ongoing: int = Field(512, ge=1, description="Requests that a replica works on at a time.")
    max_queued: int = Field(256, ge=1, description="Requests that a proxy keeps waiting; more are refused.")


class EncoderPlacement(Placement):
    """The query encoder."""

    max_ongoing: int = Field(128, ge=1, description="Requests that a replica works on at a time.")


class GeneratorPlacement(Placement):
    """What writes answers."""

    max_ongoing: int = Field(8, ge=1, description="Answers that a replica writes at a time.")
    max_queued: int = Field(16, ge=1, description="Answers that each caller keeps waiting; more are refused.")


class Limits(Settings):
    """What a request or connection may ask. Beyond these it is refused with a message that names the limit.

    Those with * hold where the service listens itself: on one machine, with one ingress replica.
    """

    body_bytes: int = Field(1_000_000, ge=1_000, description="Bytes of a request's body.")
    body_s: float = Field(10, gt=0, description="Seconds that a request's body may take to arrive.")
    head_bytes: int = Field(32_000, ge=1_000, description="Bytes of a request's head, its path included. *")
    head_s: float = Field(
        10, gt=0, description="Seconds that a head, and a new connection until its first one, may take. *"
    )
    arriving_bytes: int = Field(100_000_000, ge=1_000, description="Bytes of all bodies under way. *")
    idle_s: float = Field(90, gt=0, description="Seconds that a connection is kept for the next request. *")
    taking_s: float = Field(20, gt=0, description="Seconds in which a client takes no more of its answer. *")
    connections: int = Field(2_048, ge=2, description="Connections, both kinds together. *")
    strangers: int = Field(
        512, ge=1, description="Of them, those whose last request came without a valid key. *"
    )
    query_characters: int = Field(10_000, ge=1, le=100_000, description="Characters of a query.")
    filter_characters: int = Field(10_000, ge=1, description="Characters of a filter.")
    k: int = Field(1_000, ge=1, le=10_000, description="Passages of an answer.")
    batch: int = Field(256, ge=1, description="Queries of a batch, texts to embed, passages to re-rank.")
    hits: int = Field(10_000, ge=1, description="Passages of all answers of a batch: queries times k.")
    explained: int = Field(200, ge=1, description="The same where they are to be explained.")
    reranked: int = Field(
        2_000, ge=1, description="Passages that a model reads to re-rank them: queries times "
        "search.rerank_depth, with the cross-encoder, or late interaction without stored token vectors."
    )  # fmt: skip
    compared: int = Field(
        100_000, ge=1, description="The same with late interaction over stored token vectors."
    )
    running: int = Field(2, ge=1, description="Batches of requests that a replica computes at a time.")
    slow: int = Field(
        1, ge=1, description="Beside them, those that take long: passages that a model reads, more queries "
        "than batching.queries, texts to embed."
    )  # fmt: skip
    waiting: int = Field(
        64, ge=0, description="Requests that may wait for their turn, half of them such as take long; more "
        "are refused."
    )  # fmt: skip
    answers: int = Field(
        4, ge=1, description="Answers that an ingress replica writes at a time; apart: generator.max_ongoing."
    )
    cached_queries: int = Field(
        10_000, ge=0, description="Embeddings of queries that an ingress replica keeps, those asked last."
    )
    timeout_s: float = Field(30, gt=0, description="Seconds that a search may take, waiting included.")
    group_s: float = Field(
        5, gt=0, description="Seconds that a shard group may take for a stage; later ones are left out."
    )

    @model_validator(mode="after")
    def _shares(self) -> "Limits":
        if self.strangers >= self.connections:
            raise ValueError("strangers must be fewer than connections")
        return self


class Batching(Settings):
    """How requests that wait are worked on together; none waits for others to come."""

    queries: int = Field(16, ge=1, description="Most queries that are searched together.")
    tokens: int = Field(2_048, ge=1, description="About how many tokens of queries are embedded together.")


class Access(Settings):
    """Who may ask. Without any key, only requests that come over the loopback interface are answered."""

    keys_file: Path | None = Field(
        None, description="File of hashed keys, a line each: search|admin sha256:HEX. See `corpusmill key`."
    )
    search_key_env: str = Field("CORPUSMILL_SEARCH_KEY", description="Variable with a key that may search.")
    admin_key_env: str = Field("CORPUSMILL_ADMIN_KEY", description="Variable with a key that may do all.")
    cors_origins: list[str] = Field([], description="Web origins that may call; none by default.")


class ServeSettings(Settings):
    """The service."""

    index: str = Field(description="Folder or URL of the index.")
    storage_options: dict[str, Any] = Field({}, description="Options for the index's object storage.")
    placement: Literal["together", "apart"] = Field(
        "together", description="together: all in the ingress replicas. apart: a deployment for each part."
    )
    groups: int = Field(1, ge=1, description="Shard groups, where apart: each holds its share of the shards.")
    threads: int | None = Field(None, ge=1, description="Threads a process computes with; default: its CPUs.")
    trust_remote_code: bool = Field(
        False,
        description="Run Python code that the index's models bring. Off: such models are refused, whatever "
        "the index says.",
    )
    allow_pickle: bool = Field(
        False,
        description="Load weights of the index's models that are not safetensors. Off: such models are "
        "refused.",
    )
    plugins: tuple[str, ...] = Field(
        (),
        description="Installed plug-ins, by name, that the index may load, such as its type of dense index. "
        "Others are refused, whatever the index says.",
    )
    watch_s: float = Field(5, gt=0, description="Seconds between looks for a new version of the index.")
    limits: Limits = Limits()
    access: Access = Access()
    batching: Batching = Batching()
    ingress: IngressPlacement = IngressPlacement()
    encoder: EncoderPlacement = EncoderPlacement()
    shards: Placement = Placement()
    reranker: Placement = Placement()
    generator: GeneratorPlacement = GeneratorPlacement()
    generation: GenerationSettings = GenerationSettings()
    log_queries: bool = Field(False, description="Write queries to the log.")

    @property
    def trust(self) -> Trust:
        """What the index's models may do."""
        return Trust(self.trust_remote_code, self.allow_pickle, of="index")

    @property
    def placements(self) -> list[Placement]:
        """Of all deployments, a group of shards each by itself."""
        if self.placement == "together":
            return [self.ingress, *([self.generator] if self.generation.of.engine else [])]
        shards = [self.shards] * self.groups
        return [self.ingress, self.encoder, *shards, self.reranker, self.generator]

    @property
    def longest_s(self) -> float:
        """Seconds that a request may take: a search, and the answer from it."""
        return self.limits.timeout_s + self.generation.timeout_s
