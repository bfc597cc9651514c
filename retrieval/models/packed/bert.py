"""BERT (Devlin et al. 2019), and RoBERTa and XLM-R, which count positions from the padding's id on."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from retrieval.deadline import look
from retrieval.models.packed.attention import attend
from retrieval.models.packed.products import product
from retrieval.models.packed.rows import Packed, Run


class PackedBert:
    """Forward pass of a `transformers.BertModel` or a like one over packed rows, with its weights."""

    def __init__(self, model: Any, expected_tokens: int) -> None:
        embeddings = model.embeddings
        self.words: Tensor = embeddings.word_embeddings.weight
        self.dtype = self.words.dtype
        # All tokens are of type 0: one sum for each position, instead of one for each token.
        types: Tensor = embeddings.token_type_embeddings.weight
        self.positions: Tensor = (embeddings.position_embeddings.weight + types[0]).detach()
        self.norm: nn.LayerNorm = embeddings.LayerNorm
        self.padding_id = None if model.config.model_type == "bert" else int(embeddings.padding_idx)
        heads: int = model.config.num_attention_heads
        self.layers = [_layer(layer, heads, expected_tokens) for layer in model.encoder.layer]

    @staticmethod
    def fits(config: Any) -> bool:
        """Whether the forward pass here is that of a model with this configuration."""
        absolute = getattr(config, "position_embedding_type", "absolute") in ("absolute", None)
        plain = not config.is_decoder and not config.add_cross_attention
        return bool(absolute and plain and config.hidden_act == "gelu")

    def __call__(self, batch: Packed) -> Tensor:
        """Token vectors of a packed batch: (total, hidden); those of padding mean nothing."""
        places = batch.positions if self.padding_id is None else roberta_positions(batch, self.padding_id)
        # Padding may reach past the last position; its vectors are not used.
        places = places.clamp(max=len(self.positions) - 1)
        hidden: Tensor = self.norm(F.embedding(batch.ids, self.words) + F.embedding(places, self.positions))
        masks = [run.mask for run in batch.runs]
        for layer in self.layers:
            look()
            hidden = layer(hidden, batch.runs, masks)
        return hidden


def roberta_positions(batch: Packed, padding_id: int) -> Tensor:
    """Positions (total,) as RoBERTa counts them: from `padding_id` + 1 on.

    A token of padding that stands in a text itself has the position `padding_id`, and is not counted.
    """
    real = (batch.ids != padding_id).long()
    counted = real.cumsum(0)
    first = batch.positions == 0
    before = (counted - real)[first]  # of the rows in front of each row
    return (counted - before[first.long().cumsum(0) - 1]) * real + padding_id


class PostNormLayer:
    """A transformer layer that normalises what it has added up; query, key and value are one product."""

    def __init__(
        self, layer: Any, projections: Sequence[nn.Linear], out: nn.Linear, norm: nn.LayerNorm, heads: int,
        expected_tokens: int,
    ) -> None:  # fmt: skip
        """projections, out, norm: of the attention of `layer`, which models name differently."""
        self.heads = heads
        self.project = product(projections, expected_tokens)
        self.out = product(out, expected_tokens)
        self.up = product(layer.intermediate.dense, expected_tokens, "gelu")
        self.down = product(layer.output.dense, expected_tokens)
        self.attention_norm = norm
        self.output_norm: nn.LayerNorm = layer.output.LayerNorm

    def __call__(self, hidden: Tensor, runs: list[Run], masks: Sequence[Tensor | None]) -> Tensor:
        query, key, value = self.project(hidden, None).unflatten(1, (3, self.heads, -1)).unbind(1)
        hidden = self.attention_norm(self.out(attend(query, key, value, runs, masks), hidden))
        found: Tensor = self.output_norm(self.down(self.up(hidden, None), hidden))
        return found


def _layer(layer: Any, heads: int, expected_tokens: int) -> PostNormLayer:
    own, after = layer.attention.self, layer.attention.output
    projections = (own.query, own.key, own.value)
    return PostNormLayer(layer, projections, after.dense, after.LayerNorm, heads, expected_tokens)
