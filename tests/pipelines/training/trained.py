"""Small examples, models and methods for the tests of training."""

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from pipelines.training.examples import Example, ExampleFile, TrainingPassage
from pipelines.training.examples.example import write_examples
from pipelines.training.methods.colbert import LateInteraction
from pipelines.training.methods.dpr import DenseRetriever
from pipelines.training.models import LateEncoder, Tower
from pipelines.training.running import Checkpoints, Loop, World
from pipelines.training.settings import StepSettings
from retrieval.settings import ModelSettings
from retrieval.storage import Store
from tests.tools.samples.encoder_models import transformer_folder

TOPICS = ["rivers", "violins", "comets", "bread", "glaciers", "chess", "lighthouses", "bees"]


def passage(number: int, **more: Any) -> TrainingPassage:
    """A passage about one of the topics."""
    topic = TOPICS[number % len(TOPICS)]
    text = f"{topic} were seen in {1500 + number} near place {number * 7 % 13}, and {topic} again."
    values = {"passage_id": f"d{number}#0", "id": number, "doc_id": f"d{number}", "title": f"On {topic}"}
    return TrainingPassage(**{**values, "text": text, **more})


def examples(count: int, negatives: int = 2) -> list[Example]:
    """Questions about passages, with passages of other topics as negatives."""
    found = []
    for number in range(count):
        own = passage(number)
        others = tuple(passage(number + 1 + place, rank=place + 1) for place in range(negatives))
        query = f"where were {TOPICS[number % len(TOPICS)]} seen in {1500 + number}?"
        found.append(Example(f"q{number}", query, own, others, (own.doc_id,), (), own.doc_id))
    return found


def example_file(path: Path, count: int) -> ExampleFile:
    """The same as a file."""
    write_examples(path, examples(count))
    return ExampleFile(path)


def tower(folder: Path, *, side: Any = "query", frozen: int = 0, similarity: str = "cosine") -> Tower:
    """A tower of a small random model."""
    torch.manual_seed(0)
    return Tower(
        ModelSettings(name=str(folder), dtype="float32"), side, similarity=similarity, frozen_layers=frozen,
        cache_bytes=10_000_000, max_tokens=48, dropout=0.0,
    )  # fmt: skip


def dpr(folder: Path, *, chunk: int | None = None, frozen: int = 0, both: bool = False) -> DenseRetriever:
    """DPR over it."""
    query = tower(folder, frozen=frozen)
    passages = tower(folder, side="passage", frozen=frozen) if both else query
    return DenseRetriever(query, passages, examples(6), temperature=0.05, per_step=1, chunk=chunk)


def colbert(folder: Path, *, chunk: int | None = None, loss: Any = "both") -> LateInteraction:
    """ColBERT over it."""
    torch.manual_seed(0)
    texts = [passage(number).text for number in range(20)]
    encoder = LateEncoder(
        ModelSettings(name=str(folder)), width=16, query_tokens=16, passage_tokens=32, expansion=False,
        frozen_layers=0, texts=texts,
    )  # fmt: skip
    return LateInteraction(encoder, examples(6), loss=loss, temperature=1.0, per_step=2, chunk=chunk)


def loop(method: Any, file: ExampleFile, output: Path, **settings: Any) -> Loop:
    """A loop over a method, with what it reports in `loop.told`."""
    told: list[dict[str, Any]] = []
    values = {"epochs": 2, "batch": 4, "learning_rate": 1e-3, "checkpoint_steps": 2, "evaluations": 2}
    made = Loop(
        method,
        file,
        StepSettings(**{**values, **settings}),
        Checkpoints(Store(str(output))),
        told.append,
        World(),
    )
    made.told = told  # type: ignore[attr-defined]
    return made


def generator(folder: Path, kind: str) -> Path:
    """A small random generator with the packaged tokenizer."""
    transformer_folder(folder)  # for its tokenizer
    (folder / "model.safetensors").unlink()
    torch.manual_seed(1)
    sizes = {"vocab_size": 30522, "pad_token_id": 0, "eos_token_id": 102}
    if kind == "causal":
        config = LlamaConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=2048, **sizes,
        )  # fmt: skip
        LlamaForCausalLM(config).save_pretrained(folder)
    else:
        shape = {"d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_heads": 4}
        made = T5ForConditionalGeneration(T5Config(decoder_start_token_id=0, **shape, **sizes))
        made.save_pretrained(folder)
    settings = folder / "tokenizer_config.json"
    text = settings.read_text().replace('"sep_token"', '"eos_token": "[SEP]", "sep_token"')
    settings.write_text(text)
    return folder
