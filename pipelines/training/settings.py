"""The configuration file of a training: one YAML file for all methods, every default here."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pipelines.config import absolute_path, own_models, read_yaml, validated
from retrieval.settings import ModelSettings, Settings


class IndexPlace(Settings):
    """The index whose passages are trained with."""

    path: str = Field(min_length=1, description="Folder or URL of the index.")
    version: int | None = Field(None, ge=1, description="Version to take; default: the latest.")
    storage_options: dict[str, Any] = Field(
        default_factory=dict, description="fsspec options; keep secrets in the environment."
    )


class ExampleSettings(Settings):
    """Where queries and their positive passages come from: one of beir, questions, clicks, titles."""

    beir: str | None = Field(None, description="Folder in BEIR layout: queries.jsonl, qrels/<split>.tsv.")
    questions: str | None = Field(
        None, description="JSONL with question and answers; a passage that holds an answer is the positive."
    )
    clicks: str | None = Field(
        None, description="JSONL with query and the passage_id or doc_id that people chose."
    )
    titles: int | None = Field(
        None, ge=10, description="Draw so many passages: the title is the query, the text the positive."
    )
    split: str = Field("train", description="Judgements to take of a BEIR folder.")
    dev_split: str | None = Field(None, description="Judgements of the dev queries; default: some are drawn.")
    dev_share: float = Field(0.1, gt=0, lt=0.9, description="Share of the groups that is kept for dev.")
    most_dev: int = Field(200, ge=1, description="Dev queries that are measured.")
    group: Literal["title", "document"] = Field(
        "title", description="What no two splits share: documents, or all documents of one title."
    )
    positives: int = Field(
        3, ge=1, description="Positives of a query that are taken, those first that the search ranks highest."
    )
    sample: int | None = Field(None, ge=1, description="Take so many queries, drawn with the seed.")
    seed: int = Field(0, ge=0, description="Seed of drawing and splitting.")

    @model_validator(mode="after")
    def _one_source(self) -> "ExampleSettings":
        named = [
            name for name in ("beir", "questions", "clicks", "titles") if getattr(self, name) is not None
        ]
        if len(named) != 1:
            raise ValueError(f"name one of beir, questions, clicks and titles; named are {named or 'none'}")
        return self


class NegativeSettings(Settings):
    """Hard negatives: passages that a search finds and that are not relevant."""

    source: Literal["lexical", "dense", "hybrid", "none"] = Field("lexical", description="Which search.")
    count: int = Field(4, ge=0, le=100, description="Negatives that are mined for a query.")
    per_step: int = Field(1, ge=0, le=32, description="Of them, used in one step; they take turns.")
    depth: int = Field(100, ge=1, le=1000, description="Passages looked at.")
    first_rank: int = Field(1, ge=1, description="Best rank that may be a negative.")
    margin: float | None = Field(
        None, gt=0, le=1, description="Leave out what scores above this share of the positive's score."
    )


class StepSettings(Settings):
    """How it is trained, whatever the method."""

    epochs: float = Field(3.0, gt=0, le=1000, description="Passes over the examples.")
    steps: int | None = Field(None, ge=1, description="Steps instead of epochs.")
    batch: int = Field(32, ge=1, le=65_536, description="Examples of a step, over all workers.")
    chunk: int | None = Field(
        None,
        ge=1,
        description="Examples whose activations are held at once (gradient caching); default: all.",
    )
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Peak rate of AdamW.")
    warmup: float = Field(0.1, ge=0, le=1, description="Share of the steps in which the rate rises.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="Of AdamW.")
    clip: float = Field(1.0, gt=0, description="Longest gradient; longer ones are scaled down.")
    temperature: float | None = Field(
        None, gt=0, description="Scores are divided by it; default: 0.05 for cosine, 1 for dot."
    )
    frozen_layers: int | None = Field(
        None, ge=0, description="Lowest layers that stay, the embeddings too; default: half of them."
    )
    cache_bytes: int = Field(
        1_000_000_000, ge=0, description="Memory of a worker for the states of frozen layers."
    )
    max_tokens: int = Field(256, ge=8, le=8192, description="Longest passage in training.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Of the trained layers.")
    average: float = Field(
        0.7,
        gt=0,
        le=1,
        description="Share of the trained weights in the model that is measured and exported; the rest are "
        "those that training began with, which keep what the examples do not show.",
    )
    evaluations: int = Field(6, ge=1, description="How often dev is measured; the best is exported.")
    patience: int | None = Field(
        None, ge=1, description="Stop after so many measurements without a better one; default: never."
    )
    checkpoint_steps: int = Field(100, ge=1, description="Steps between two checkpoints.")
    bank: int = Field(
        20_000, ge=0, description="Stored vectors that a query tower is told from, drawn from the index."
    )
    seed: int = Field(0, ge=0, description="Seed of the order of examples.")


class ColbertSettings(Settings):
    """Late interaction."""

    width: int = Field(128, ge=8, le=4096, description="Dimensions of a token vector.")
    query_tokens: int = Field(32, ge=4, le=512, description="Longest query.")
    expansion: bool = Field(False, description="Fill queries up with mask tokens (query augmentation).")
    loss: Literal["pairwise", "in_batch", "both", "distil"] = Field(
        "both",
        description="pairwise: log-likelihood of the positive against each hard negative; in_batch: softmax "
        "over all passages of the batch; both: their sum; distil: a cross-encoder's scores of positive and "
        "negatives.",
    )


class RagSettings(Settings):
    """End to end: query encoder and generator by the marginal likelihood of the answer."""

    generator: str | None = Field(None, description="Generator; default: Gemma 3 270M of its package.")
    passages: int = Field(4, ge=1, le=64, description="Passages that the answer is marginalised over.")
    prior_scale: float = Field(
        20.0, gt=0, description="Dense scores are multiplied by it before the softmax."
    )
    likelihood: Literal["sequence", "token"] = Field("sequence", description="RAG-Sequence or RAG-Token.")
    lora_rank: int | None = Field(16, ge=1, le=512, description="Rank of LoRA; null: the whole generator.")
    query_rate: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Share of training.learning_rate that the query encoder gets: few questions a step say "
        "little of it, and it is trained whole, beside a generator's LoRA.",
    )
    freeze_retriever_steps: int = Field(0, ge=0, description="First steps that train the generator alone.")
    passage_tokens: int = Field(160, ge=16, description="Longest passage in the prompt.")
    answer_tokens: int = Field(32, ge=1, le=512, description="Longest answer.")
    refresh: int | None = Field(
        None, ge=1, description="Steps after which the index is made anew beside the old one."
    )
    build: str | None = Field(None, description="Configuration of the index's build, for a refresh.")


class WorkerSettings(Settings):
    """Where it runs."""

    address: str | None = Field(None, description="Ray cluster; default: RAY_ADDRESS, else one for this run.")
    workers: int = Field(1, ge=1, description="Workers, which share every batch.")
    cpus: float = Field(1, gt=0, description="CPUs of a worker.")
    gpus: float = Field(0, ge=0, description="GPUs of a worker.")
    threads: int | None = Field(
        None, ge=1, description="Threads of a worker; default: its share of the cores."
    )
    retries: int = Field(3, ge=0, description="How often workers that died are started again.")


class TrainConfig(Settings):
    """A training: an index and examples in, a model out."""

    index: IndexPlace
    output: str = Field(min_length=1, description="Folder or URL of checkpoints, metrics and the model.")
    model: ModelSettings | None = Field(None, description="Model to begin with; default: the index's.")
    towers: Literal["shared", "both", "query"] = Field(
        "shared",
        description="shared: one encoder; both: two (DPR); query: the query side alone, against the vectors "
        "that the index holds.",
    )
    similarity: Literal["cosine", "dot"] | None = Field(None, description="Default: as the model's.")
    teacher: bool = Field(
        False,
        description="With towers: query, align a smaller model to the index's query encoder; no labels.",
    )
    examples: ExampleSettings
    negatives: NegativeSettings = Field(default_factory=NegativeSettings, description="Hard negatives.")
    training: StepSettings = Field(default_factory=StepSettings, description="Steps.")
    colbert: ColbertSettings = Field(default_factory=ColbertSettings, description="`train colbert`.")
    rag: RagSettings = Field(default_factory=RagSettings, description="`train rag`.")
    ray: WorkerSettings = Field(default_factory=WorkerSettings, description="Workers.")


def load_train_config(path: Path) -> TrainConfig:
    """Read and validate a file. Relative paths in it start at its own folder. Raises ConfigError."""
    values = read_yaml(path, "Start from configs/train-dpr.yaml.", "It needs index, output and examples.")
    config, folder = validated(TrainConfig, values, str(path)), path.resolve().parent
    examples = {
        name: absolute_path(folder, value)
        for name in ("beir", "questions", "clicks")
        if (value := getattr(config.examples, name)) is not None
    }
    update: dict[str, Any] = {
        "index": config.index.model_copy(update={"path": absolute_path(folder, config.index.path)}),
        "output": absolute_path(folder, config.output),
        "examples": config.examples.model_copy(update=examples),
    }
    if config.model is not None:
        update["model"] = own_models(folder, config.model)
    own = {"generator": config.rag.generator, "build": config.rag.build}
    local = {
        name: absolute_path(folder, value)
        for name, value in own.items()
        if value and (name == "build" or value[0] in ".~")
    }
    update["rag"] = config.rag.model_copy(update=local)
    return config.model_copy(update=update)
