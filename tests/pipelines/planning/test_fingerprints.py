"""Which artefacts a setting changes is said where the setting is declared, and holds."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.config import BuildConfig, validate
from pipelines.planning import make_plan
from pipelines.planning.resolve import resolve_build
from retrieval.storage import Store
from tests.conftest import SMALL_MODEL

PASSAGES = {"parts", "version"}
# What a new value makes anew. Vectors are named by what the encoder sees, so other passages leave the folder.
CHANGES: list[tuple[str, Any, set[str]]] = [
    ("corpus.on_type_mismatch", "reject", PASSAGES),
    ("corpus.metadata", "none", PASSAGES),
    ("corpus.fields.text", ["body"], PASSAGES),
    ("corpus.max_document_bytes", 1_000_000, PASSAGES),
    ("corpus.max_reject_share", 0.5, set()),
    ("corpus.follow_links", True, set()),
    ("corpus.duplicates", "keep_first", {"version"}),
    ("chunk.size", 64, PASSAGES),
    ("chunk.method", "none", PASSAGES),
    ("index.part_passages", 100, PASSAGES),
    ("index.shard_passages", 100, {"version"}),
    ("index.piece_passages", 100, set()),
    ("model.max_tokens", 128, {"parts", "vectors", "codec", "version"}),
    ("model.passage_prompt", "text: ", {"parts", "vectors", "codec", "version"}),
    ("model.dtype", "float32", {"vectors", "codec", "version"}),
    ("model.query_prompt", "question: ", {"version"}),
    ("model.device", "cpu", set()),
    ("dense.nlist", 4, {"quantizer", "version"}),
    ("dense.seed", 1, {"quantizer", "version"}),
    ("dense.recall_target", 0.9, {"version"}),
    ("dense.retrain_growth", 3.0, {"version"}),
    ("lexical.stemming", False, {"lexical", "version"}),
    ("lexical.k1", 2.0, {"version"}),
    ("lexical.enabled", False, {"version"}),
    ("late_interaction.nlist", 16, {"codec", "version"}),
    ("late_interaction.query_tokens", 32, {"version"}),
    ("late_interaction.store", True, {"version"}),
    ("search.rerank", "cross-encoder", {"version"}),
    ("ray.cpus", 1, set()),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("fingerprints")
    records = [
        {"_id": str(number), "text": "A text.", "body": "A body.", "year": 1900} for number in range(5)
    ]
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(record) + "\n" for record in records))
    # Beside this one, token vectors are those of the encoder itself.
    model = {"name": SMALL_MODEL}
    return {"corpus": {"paths": [str(corpus)]}, "index": {"path": str(folder / "index")}, "model": model}


def fingerprints(config: BuildConfig) -> dict[str, Any]:
    """What names each artefact."""
    plan = make_plan(config, Store(config.index.path), lambda _text: None)
    build = plan.build
    return {
        "parts": build.passages.fingerprint,
        "vectors": build.vectors.fingerprint,
        "lexical": config.lexical.fingerprint_values("lexical"),
        "codec": (build.token_codes.encoder_values, config.late_interaction.fingerprint_values("codec")),
        "quantizer": config.dense.fingerprint_values("quantizer"),
        "version": plan.fingerprint,
    }


@pytest.mark.parametrize(("key", "value", "changed"), CHANGES, ids=[key for key, _, _ in CHANGES])
def test_a_setting_changes_what_depends_on_it(
    base: dict[str, Any], key: str, value: Any, changed: set[str]
) -> None:
    before = fingerprints(validate(base, "test"))
    after = fingerprints(validate(_with(base, key.split("."), value), "test"))
    assert {name for name in before if before[name] != after[name]} == changed


def test_other_units_leave_the_model_out(base: dict[str, Any]) -> None:
    """Passages of so many characters are the same whatever model embeds them."""
    config = validate({**base, "chunk": {"unit": "characters", "size": 100}}, "test")
    other = config.model_copy(update={"model": config.model.model_copy(update={"max_tokens": 64})})
    store = Store(config.index.path)
    plain, changed = (resolve_build(one, store, {}) for one in (config, other))
    assert plain.passages.model is None
    assert plain.passages.fingerprint == changed.passages.fingerprint
    assert plain.vectors.fingerprint != changed.vectors.fingerprint


def test_models_are_located_and_measured_at_the_door(base: dict[str, Any], tmp_path: Path) -> None:
    config = validate({**base, "index": {"path": str(tmp_path / "index")}}, "test")
    build = resolve_build(config, Store(config.index.path), {})
    assert build.vectors.dimension == 384
    assert build.passages.model == build.vectors.model
    assert build.vectors.model.here() == config.model
    assert not (tmp_path / "index").exists()


def _with(values: dict[str, Any], key: list[str], value: Any) -> dict[str, Any]:
    first, *rest = key
    return {**values, first: _with(values.get(first, {}), rest, value) if rest else value}
