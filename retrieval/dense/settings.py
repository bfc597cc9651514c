"""Settings of the dense index, each declared once with its type, default, bounds and explanation."""

from importlib import import_module
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from retrieval.plugins import Registry
from retrieval.settings import Artefact, Bytes, CountsFor, Settings

TYPES = Registry("dense type", "dense.type", "retrieval.dense.types", "TYPE", "corpusmill.dense_types")
_AUTO = {"auto": "by the number of vectors, the memory budget and the recall target"}


def _document_types(schema: dict[str, Any]) -> None:
    """The types of this package, in the schema and on the reference page: imported when these are written."""
    told = {name: import_module(f"{TYPES.room}.{name}").TYPE.summary for name in TYPES.built_in()}
    schema |= TYPES.schema(told, _AUTO)
    schema.pop("type")


class DenseSettings(Settings):
    """The dense index: its type, its training and how its search is tuned."""

    plugins: SkipJsonSchema[tuple[str, ...]] = Field((), exclude=True)  # of the whole build
    type: str = Field("auto", description="Type of the index.", json_schema_extra=_document_types)
    options: dict[str, Any] = Field(
        default_factory=dict, description="Settings of a type that is a plug-in, as its own page says."
    )
    nlist: int | None = Field(
        None, ge=1, le=4_194_304, description="Inverted lists; default: from the number of vectors."
    )
    coarse: Literal["auto", "flat", "hnsw"] = Field(
        "auto", description="Coarse quantizer; auto: hnsw from 16,384 lists on."
    )
    pq_m: int | None = Field(
        None, ge=1, description="Sub-quantizers of a code; must divide the dimension. Default: by memory."
    )
    pq_bits: Literal[4, 8] = Field(4, description="Bits of each sub-quantizer.")
    opq: bool = Field(False, description="Rotate vectors before quantizing (slow to train on a CPU).")
    hnsw_m: int = Field(32, ge=4, le=256, description="Neighbours of a node in the graph.")
    hnsw_ef_construction: int = Field(
        100, ge=8, le=1_000_000, description="Width of the search while the graph is built."
    )
    hnsw_max_vectors: Annotated[int, CountsFor("version")] = Field(
        5_000_000, ge=1, description="Largest shard that a graph is built for: it is built in memory."
    )
    recall_target: Annotated[float, CountsFor("version")] = Field(
        0.95,
        gt=0,
        le=1,
        description="recall@`recall_k` against exact search that tuning aims at; the lower 95 % confidence "
        "bound of what it measures has to meet it.",
    )
    recall_k: Annotated[int, CountsFor("version")] = Field(
        10, ge=1, le=1000, description="k of the recall that tuning aims at."
    )
    memory_budget: Annotated[Bytes | None, CountsFor("version")] = Field(
        None, description="Memory for codes when serving; default: half of this machine's."
    )
    train_vectors_per_list: int = Field(
        64, ge=39, le=256, description="Training vectors for each inverted list, sampled from all parts."
    )
    seed: int = Field(0, ge=0, description="Seed of sampling and training.")
    retrain_growth: Annotated[float, CountsFor("version")] = Field(
        2.0, gt=1, description="Train again once the index has grown by this factor since training."
    )
    tune_queries: Annotated[int, CountsFor("version")] = Field(
        500, ge=10, le=100_000, description="Queries that nprobe and the shortlist are tuned with."
    )
    query_file: Annotated[str | None, CountsFor()] = Field(
        None,
        description="Queries to tune with: JSONL with `text`, or one query a line. 50 or more also tell "
        "how much each half of a hybrid search is worth. Default: sentences drawn from passages.",
    )

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str, info: ValidationInfo) -> str:
        return TYPES.check(value, info.data.get("plugins", ()), tuple(_AUTO))

    def fingerprint_values(self, artefact: Artefact) -> dict[str, Any]:
        """As of all settings; `options` count where there are any."""
        values = super().fingerprint_values(artefact)
        return {name: value for name, value in values.items() if name != "options" or value}

    @model_validator(mode="after")
    def _options_of_a_plugin(self) -> "DenseSettings":
        if self.options and self.type in (*_AUTO, *TYPES.built_in()):
            raise ValueError(f"options are of types that are plug-ins, and type is {self.type}")
        return self
