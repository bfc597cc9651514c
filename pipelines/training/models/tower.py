"""An encoder with gradients: texts in, vectors out, as the built index and its queries will see them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.training.models.frozen import FrozenStates, freeze
from pipelines.training.models.saving import save_encoder
from retrieval.errors import ConfigError
from retrieval.models import ResolvedModel, resolve_model_side
from retrieval.models.encoders import Side, Tokenizer, Tokens, choose_dtype, read_layout
from retrieval.settings import ModelSettings

_FORWARD_TOKENS = 4096  # with padding, in one call: rows of like length go together


class Tower(nn.Module):
    """One sentence-transformers model that is trained. `dimension`: of its vectors, (n, d) float32.

    similarity: "cosine" gives vectors of length 1; "dot" leaves a Normalize module out, here and when saved.
    """

    def __init__(
        self, settings: ModelSettings, side: Side, *, similarity: str, frozen_layers: int | None,
        cache_bytes: int, max_tokens: int, dropout: float, device: str = "cpu",
    ) -> None:  # fmt: skip
        """Raises ModelError for a model that cannot be loaded, ConfigError for one that cannot be trained."""
        super().__init__()
        self.resolved: ResolvedModel = resolve_model_side(settings, side)
        self.similarity, self.device = similarity, device
        capped = settings.model_copy(update={"max_tokens": self._window(settings, side, max_tokens)})
        self._tokenizers = {
            name: Tokenizer(read_layout(self.resolved.folder, name), capped) for name in ("passage", "query")
        }
        self.model = _load(self.resolved.folder, device)
        modules = [*self.model]
        if any(type(module).__name__ in ("Router", "Asym") for module in modules):
            raise ConfigError(
                f"{settings.name} routes queries and passages through different modules, which cannot be "
                "trained here",
                hint="Name a model of one encoder, or train its routes apart.",
            )
        self.kept = [m for m in modules if similarity == "cosine" or type(m).__name__ != "Normalize"]
        self._transformer: Any = modules[0]
        self.frozen = freeze(self._transformer.auto_model, frozen_layers)
        self._states = FrozenStates(self._transformer.auto_model, self.frozen, cache_bytes)
        self._low = choose_dtype(ModelSettings(), device)
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout
        self.train(dropout > 0)
        self.dimension = len(self([""], [""])[0])

    def _window(self, settings: ModelSettings, side: Side, wanted: int) -> int:
        layout = read_layout(self.resolved.folder, side)
        known = [limit for limit in (layout.window, settings.max_tokens, wanted) if limit is not None]
        return min(known)

    def tokens(self, side: Side, titles: Sequence[str], texts: Sequence[str]) -> Tokens:
        """Tokens of passages with their titles, or of queries, as the encoder of an index cuts them."""
        if side == "query":
            return self._tokenizers["query"].tokenize_queries(texts)
        return self._tokenizers["passage"].tokenize_passages(titles, texts)

    def forward(self, titles: Sequence[str], texts: Sequence[str], side: Side = "query") -> Tensor:
        """Vectors (n, d) float32 of passages or queries, with gradients where they are on."""
        tokens = self.tokens(side, titles, texts)
        lengths = tokens.lengths
        order = np.argsort(-lengths, kind="stable")
        found: list[Tensor] = []
        place = 0
        while place < len(order):
            width = int(lengths[order[place]])
            rows = order[place : place + max(1, _FORWARD_TOKENS // max(1, width))]
            found.append(self._run(tokens, rows))
            place += len(rows)
        back = torch.from_numpy(np.argsort(order, kind="stable")).to(self.device)
        return torch.cat(found)[back]

    def _run(self, tokens: Tokens, rows: np.ndarray) -> Tensor:
        lengths = tokens.lengths[rows]
        width = int(lengths.max())
        backend = self._transformer.tokenizer
        ids = np.full((len(rows), width), backend.pad_token_id or 0, np.int64)
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            ids[place, :length] = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]]
        mask = torch.from_numpy((np.arange(width) < lengths[:, None]).astype(np.int64)).to(self.device)
        with torch.autocast(self.device, self._low, enabled=self._low != torch.float32):
            hidden = self._states(torch.from_numpy(ids).to(self.device), mask)
        features: dict[str, Any] = {"token_embeddings": hidden.float(), "attention_mask": mask}
        for module in self.kept[1:]:
            features = module(features)
        vectors: Tensor = features["sentence_embedding"].float()
        if self.similarity == "cosine":
            vectors = nn.functional.normalize(vectors, dim=1)
        return vectors

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that have gradients, by name."""
        return {name: one for name, one in self.named_parameters() if one.requires_grad}

    def save(self, folder: Path) -> None:
        """As a folder that sentence-transformers loads."""
        save_encoder(self.model, self.kept, self.similarity, folder)


def _load(folder: Path, device: str) -> Any:
    """The model for itself: those that a search uses are shared and must not change."""
    from sentence_transformers import SentenceTransformer

    from retrieval.models import TRANSFORMERS

    with TRANSFORMERS:
        return SentenceTransformer(
            str(folder), device=device, local_files_only=True, trust_remote_code=False,
            model_kwargs={"dtype": torch.float32, "use_safetensors": True, "weights_only": True},
        )  # fmt: skip
