"""A late-interaction encoder with gradients, of any width, as sentence-transformers' MultiVectorEncoder."""

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.training.models.frozen import freeze
from pipelines.training.models.saving import save_late
from retrieval.errors import ConfigError
from retrieval.models import TRANSFORMERS, read_model_json, resolve_model_side
from retrieval.models.encoders import Side, choose_dtype
from retrieval.models.late_interaction import is_checkpoint
from retrieval.settings import ModelSettings

_FORWARD_ROWS = 32
_TASKS = {"query": "query", "passage": "document"}
_PCA_TEXTS = 256


class LateEncoder(nn.Module):
    """Token vectors of length 1, punctuation of passages masked. `width`: their dimensions.

    A bare encoder gets a projection that begins as its principal components over some passages.
    """

    def __init__(
        self, settings: ModelSettings, *, width: int, query_tokens: int, passage_tokens: int, expansion: bool,
        frozen_layers: int | None, texts: Sequence[str], device: str = "cpu",
    ) -> None:  # fmt: skip
        """texts: some passages. Raises ModelError, and ConfigError for a width that does not fit."""
        super().__init__()
        self.resolved = resolve_model_side(settings, "passage")
        self.device, self.width = device, width
        self.lengths: dict[Side, int] = {"query": query_tokens, "passage": passage_tokens}
        folder = self.resolved.folder
        own = is_checkpoint(folder)
        self.model = _checkpoint(folder, device) if own else _bare(folder, device, width)
        transformer: Any = self.model[0]
        self._set_lengths(transformer, query_tokens, passage_tokens, expansion)
        freeze(transformer.auto_model, frozen_layers)
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        self._low = choose_dtype(ModelSettings(), device)
        if not own:
            self._begin_with_components(texts)
        found = self(["dimension"], "query")[0].shape[-1]
        if found != width:
            raise ConfigError(
                f"{settings.name} gives token vectors of {found} dimensions, and colbert.width is {width}",
                hint=f"Set colbert.width to {found}, or begin with an encoder that is no ColBERT checkpoint.",
            )

    def _set_lengths(self, transformer: Any, query: int, passage: int, expansion: bool) -> None:
        config = read_model_json(self.resolved.folder / "config.json") or {}
        positions = int(config.get("max_position_embeddings") or passage)
        self.lengths = {"query": min(query, positions), "passage": min(passage, positions)}
        transformer.document_length = self.lengths["passage"]
        transformer.query_length = self.lengths["query"]
        transformer.query_expansion = (
            {"strategy": "fixed", "attend": False, "length": self.lengths["query"]} if expansion else None
        )

    @torch.no_grad()
    def _begin_with_components(self, texts: Sequence[str]) -> None:
        """Uncentred principal components: those that keep inner products best."""
        seen: list[Tensor] = []
        for first in range(0, min(len(texts), _PCA_TEXTS), _FORWARD_ROWS):
            features = self._features(texts[first : first + _FORWARD_ROWS], "passage")
            hidden = self.model[0](features)["token_embeddings"].float()
            seen.append(nn.functional.normalize(hidden, dim=-1)[features["attention_mask"].bool()])
        tokens = torch.cat(seen)
        size = tokens.shape[1]
        if self.width > size:
            raise ConfigError(
                f"colbert.width is {self.width}, and the encoder has {size} dimensions",
                hint=f"Set it to {size} or less.",
            )
        _, vectors = torch.linalg.eigh(tokens.T @ tokens)
        self.model[1].linear.weight.copy_(vectors[:, -self.width :].T.flip(0))

    def _features(self, texts: Sequence[str], side: Side) -> dict[str, Any]:
        found: dict[str, Any] = self.model.preprocess(list(texts), task=_TASKS[side])
        return {
            name: value.to(self.device) if isinstance(value, Tensor) else value
            for name, value in found.items()
        }

    def forward(self, texts: Sequence[str], side: Side) -> tuple[Tensor, Tensor]:
        """Token vectors (n, t, d) float32 and which of them count (n, t) bool; t is the side's length."""
        vectors, masks = [], []
        for first in range(0, len(texts), _FORWARD_ROWS):
            features = self._features(texts[first : first + _FORWARD_ROWS], side)
            with torch.autocast(self.device, self._low, enabled=self._low != torch.float32):
                features = self.model[0](features)
            features["token_embeddings"] = features["token_embeddings"].float()
            for module in list(self.model)[1:]:
                keys: set[str] = getattr(module, "forward_kwargs", set())
                features = module(features, **({"task": _TASKS[side]} if "task" in keys else {}))
            vectors.append(_padded(features["token_embeddings"], self.lengths[side]))
            masks.append(_padded(features["attention_mask"].bool(), self.lengths[side]))
        return torch.cat(vectors), torch.cat(masks)

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that have gradients, by name."""
        return {name: one for name, one in self.named_parameters() if one.requires_grad}

    def save(self, folder: Path) -> None:
        """As a folder that PyLate and sentence-transformers' MultiVectorEncoder load."""
        save_late(self.model, folder)


def _padded(values: Tensor, width: int) -> Tensor:
    """Of (n, t, ...), t raised to `width`."""
    if values.shape[1] >= width:
        return values[:, :width]
    room = values.new_zeros((values.shape[0], width - values.shape[1], *values.shape[2:]))
    return torch.cat([values, room], 1)


def _arguments() -> dict[str, Any]:
    return {"dtype": torch.float32, "use_safetensors": True, "weights_only": True}


def _checkpoint(folder: Path, device: str) -> Any:
    from sentence_transformers import MultiVectorEncoder

    with TRANSFORMERS:
        return MultiVectorEncoder(
            str(folder),
            device=device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs=_arguments(),
        )


def _bare(folder: Path, device: str, width: int) -> Any:
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer
    from sentence_transformers.base.modules import Dense
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
    from sentence_transformers.sentence_transformer.modules import Normalize

    with TRANSFORMERS:
        base: Any = SentenceTransformer(
            str(folder),
            device=device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs=_arguments(),
        )
        hidden = int(base[0].auto_model.config.hidden_size)
        dense = Dense(
            hidden, width, bias=False, activation_function=nn.Identity(), module_input_name="token_embeddings"
        )
        mask = MultiVectorMask(skiplist_words=list(string.punctuation))
        normal = Normalize(module_input_name="token_embeddings")
        return MultiVectorEncoder(modules=[base[0], dense, mask, normal], device=device)
