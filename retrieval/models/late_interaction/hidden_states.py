"""Token vectors of an encoder that was not trained for late interaction: its last hidden states.

They have length 1, and punctuation is left out of passages, as ColBERT does (Khattab & Zaharia 2020); all
other tokens are kept, special ones too.
"""

import string

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from retrieval.models.batches import Rows, length_sorted_batches, run_splitting
from retrieval.models.encoders import (
    BATCH_TOKENS,
    LoadedSide,
    Side,
    Tokenizer,
    Tokens,
    choose_device,
    choose_dtype,
    read_layout,
)
from retrieval.models.late_interaction.token_encoder import Token, TokenEncoder, spans_in_text
from retrieval.models.late_interaction.token_vectors import TokenVectors, Vectors
from retrieval.models.loading import load_model
from retrieval.models.packed import open_packed, pack_rows
from retrieval.models.resolved_model import ResolvedModel, resolve_model_side
from retrieval.models.trust import Trust
from retrieval.settings import ModelSettings

Mask = npt.NDArray[np.bool_]
_PUNCTUATION = frozenset(string.punctuation)


class BareTokenEncoder(TokenEncoder):
    """Last hidden states of an encoder or a pair of encoders."""

    def __init__(self, settings: ModelSettings, query_tokens: int, trust: Trust) -> None:
        """query_tokens: longest query in tokens, special ones included."""
        device = choose_device(settings)
        dtype = choose_dtype(settings, device)
        super().__init__(settings, device=device, dtype=dtype)
        batch_tokens = settings.batch_tokens or BATCH_TOKENS[device]

        def open_side(side: Side) -> LoadedSide:
            model = resolve_model_side(settings, side, trust)
            loaded = load_model("SentenceTransformer", model, trust, device=device, dtype=dtype)
            tokenizer = _tokenizer(model, side, settings, query_tokens if side == "query" else None)
            return LoadedSide(loaded, tokenizer, device=device, batch_tokens=batch_tokens)

        self._passage = _Hidden(open_side("passage"))
        self._query = _Hidden(open_side("query"))
        tokenizer = self._passage.side.tokenizer
        found = [tokenizer.token_id(mark) for mark in _PUNCTUATION]
        self._left_out = np.array([number for number in found if number is not None], np.int32)

    def query_tokens(self, text: str) -> list[str]:
        """The tokens of a query, one for each of its vectors."""
        tokenizer = self._query.side.tokenizer
        return tokenizer.token_texts(tokenizer.prompt + text)[0]

    def passage_tokens(self, title: str | None, text: str) -> list[Token]:
        """The tokens of a passage, one for each of its vectors."""
        tokenizer = self._passage.side.tokenizer
        prefix = tokenizer.prefix(title or "")
        texts, offsets = tokenizer.token_texts(prefix + text)
        tokens = spans_in_text(texts, offsets, len(prefix))
        return [token for token in tokens if token.text not in _PUNCTUATION]

    def _queries(self, texts: list[str]) -> TokenVectors:
        tokens = self._query.side.tokenizer.tokenize_queries(texts)
        return self._query.encode(tokens, np.ones(len(tokens.ids), np.bool_))

    def _passages(self, titles: list[str], texts: list[str]) -> TokenVectors:
        tokens = self._passage.side.tokenizer.tokenize_passages(titles, texts)
        return self._passage.encode(tokens, ~np.isin(tokens.ids, self._left_out))


class _Hidden:
    """Hidden states of one side."""

    def __init__(self, side: LoadedSide) -> None:
        self.side = side
        self._packed = open_packed(side.transformer.auto_model, side.batch_tokens)
        self._width = int(side.transformer.get_embedding_dimension())

    @torch.inference_mode()
    def encode(self, tokens: Tokens, keep: Mask) -> TokenVectors:
        """Vectors of length 1 of the tokens that `keep` (total,) marks, in input order."""
        kept = np.concatenate([[0], np.cumsum(keep)])
        counts = np.diff(kept[tokens.offsets])
        batches = [
            (rows, run_splitting(lambda part: self._run(tokens, part, keep), rows))
            for rows in length_sorted_batches(tokens.lengths, self.side.batch_tokens)
        ]
        return TokenVectors.from_batches(batches, counts, self._width)

    def _run(self, tokens: Tokens, rows: Rows, keep: Mask) -> Vectors:
        side = self.side
        lengths = tokens.lengths[rows]
        if self._packed is not None:
            batch = pack_rows(tokens.ids, tokens.offsets, rows, side.device, self._packed.dtype)
            hidden = self._packed(batch)
            widths = np.concatenate([np.full(run.rows, run.length) for run in batch.runs])
            starts = np.cumsum(widths) - widths
        else:
            states = side.padded(tokens, rows)["token_embeddings"]
            width = states.shape[1]
            hidden = states.reshape(-1, states.shape[2])
            starts = np.arange(len(rows)) * width
            if getattr(side.transformer.tokenizer, "padding_side", "right") == "left":
                starts = starts + width - lengths
        places = np.concatenate(
            [
                start + np.flatnonzero(keep[tokens.offsets[row] : tokens.offsets[row + 1]])
                for row, start in zip(rows, starts, strict=True)
            ]
        )
        chosen = hidden.index_select(0, torch.from_numpy(places).to(hidden.device))
        vectors: Vectors = F.normalize(chosen.float(), dim=1).cpu().numpy()
        return vectors


def _tokenizer(model: ResolvedModel, side: Side, settings: ModelSettings, most: int | None) -> Tokenizer:
    """Tokenizer of a side with a window of `most` tokens, where the model's own is longer."""
    layout = read_layout(model.folder, side)
    tokenizer = Tokenizer(layout, settings)
    if most is None or tokenizer.max_tokens <= most:
        return tokenizer
    return Tokenizer(layout, settings.model_copy(update={"max_tokens": most}))
