"""One loaded side of a model: from tokens to vectors, by its own modules or over packed rows."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from retrieval.errors import ModelError
from retrieval.models.batches import Rows, length_sorted_batches, run_splitting
from retrieval.models.encoders.model_folder import TASKS, ModelLayout
from retrieval.models.encoders.tokenizer import Tokenizer, Tokens
from retrieval.models.packed import POOLINGS, PackedModel, open_packed, pack_rows, pool

# Accents, case, CJK, punctuation and an unknown character: where two tokenizers of one model differ.
_PROBES = ["The naïve Café, 42% of IT'S\tprice\n— 東京 한국 ﬁ Ünïcode…", "a", "word " * 20 + "🙂 end."]


class LoadedSide:
    """The modules of one side, in `dtype` up to the token vectors and in float32 after them."""

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        *,
        device: str,
        batch_tokens: int,
    ) -> None:
        """model: of `load_model`, which others may use too."""
        self._model = model  # others get it as long as somebody holds it, not its modules alone
        self.tokenizer = tokenizer
        self.layout = tokenizer.layout
        self.device = device
        self.batch_tokens = batch_tokens
        modules = _modules_of(model, self.layout)
        self.transformer: Any = modules[0]
        self.tail: list[nn.Module] = [module.to(device).float() for module in modules[1:]]
        self.packed: PackedModel | None = None
        with model.tokenizer_lock:
            _check_tokenizer(self.transformer.tokenizer, tokenizer)
        self._prompt_tokens = 0 if self.layout.include_prompt else tokenizer.prompt_tokens()
        pools = len(self.layout.modules) > 1 and self.layout.modules[1] == "Pooling"
        plain = pools and self.layout.pooling in POOLINGS and not self._prompt_tokens
        if plain:
            self.packed = open_packed(self.transformer.auto_model, batch_tokens)

    @torch.inference_mode()
    def encode(self, tokens: Tokens) -> npt.NDArray[np.float32]:
        """Vectors of `tokens`, in input order: (n, d) float32, as the model's last module gives them."""
        vectors: npt.NDArray[np.float32] | None = None
        for rows in length_sorted_batches(tokens.lengths, self.batch_tokens):
            batch = run_splitting(lambda part: self._run(tokens, part), rows)
            if vectors is None:
                vectors = np.empty((len(tokens), batch.shape[1]), np.float32)
            vectors[rows] = batch
        return np.empty((0, 0), np.float32) if vectors is None else vectors

    def _run(self, tokens: Tokens, rows: Rows) -> npt.NDArray[np.float32]:
        if self.packed is not None:
            features = self._pool_packed(self.packed, tokens, rows)
            after = self.tail[1:]  # the pooling is done
        else:
            features, after = self.padded(tokens, rows), self.tail
        for module in after:
            features = module(features)
        vectors: Tensor = features["sentence_embedding"]
        if self.layout.truncate_dim is not None:
            vectors = vectors[:, : self.layout.truncate_dim]
        return vectors.float().cpu().numpy()

    def _pool_packed(self, packed: PackedModel, tokens: Tokens, rows: Rows) -> dict[str, Any]:
        batch = pack_rows(tokens.ids, tokens.offsets, rows, self.device, packed.dtype)
        return {"sentence_embedding": pool(packed(batch), batch, self.layout.pooling)}

    def padded(self, tokens: Tokens, rows: Rows) -> dict[str, Any]:
        """Features after the transformer, for any model: ids are padded as its tokenizer pads."""
        backend = self.transformer.tokenizer
        lengths = tokens.lengths[rows]
        width = int(lengths.max())
        ids = np.full((len(rows), width), backend.pad_token_id or 0, np.int64)
        mask = np.zeros((len(rows), width), np.int64)
        left = getattr(backend, "padding_side", "right") == "left"
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            span = slice(width - length, width) if left else slice(0, length)
            ids[place, span] = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]]
            mask[place, span] = 1
        features: dict[str, Any] = {
            "input_ids": torch.from_numpy(ids).to(self.device),
            "attention_mask": torch.from_numpy(mask).to(self.device),
            "modality": "text",
            "task": TASKS[self.layout.side],
        }
        if "token_type_ids" in backend.model_input_names:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        if self._prompt_tokens:
            features["prompt_length"] = self._prompt_tokens
        features = self.transformer(features)
        for name in ("token_embeddings", "sentence_embedding"):
            if name in features:
                features[name] = features[name].float()
        return features


def _modules_of(model: Any, layout: ModelLayout) -> list[nn.Module]:
    """The modules that this side's texts pass through, with routers replaced by this side's route."""
    modules: list[nn.Module] = []
    for index, module in enumerate(model):
        route = layout.routes.get(index)
        modules += [module] if route is None else list(module.sub_modules[route])
    return modules


def _check_tokenizer(backend: Any, tokenizer: Tokenizer) -> None:
    """Raise ModelError unless tokenizer.json alone gives the ids that the model's own code gives.

    Passages are tokenized without torch and transformers; a difference would give other vectors.
    """
    texts = [tokenizer.prompt + text for text in _PROBES]
    ours = tokenizer.tokenize_queries(_PROBES)
    theirs = backend(texts, truncation=True, max_length=tokenizer.max_tokens)["input_ids"]
    for row, (text, ids) in enumerate(zip(texts, theirs, strict=True)):
        found = ours.ids[ours.offsets[row] : ours.offsets[row + 1]].tolist()
        if found != list(ids):
            raise ModelError(
                f"{tokenizer.tokenizer_file} gives other tokens than transformers for {text[:40]!r}",
                hint="Save the tokenizer again with this version of transformers: "
                "AutoTokenizer.from_pretrained(folder).save_pretrained(folder).",
            )
