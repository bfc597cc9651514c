"""log p(y_i | x, z, y_<i) of all k passages of a question at once, with caches that follow the hypotheses."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from retrieval.deadline import look

PREFILL_TOKENS = 128  # of the prompts at a time: between their layers a cancelled answer ends
MOST_ROWS = 32  # answers that are scored at a time: their logits are rows x tokens x vocabulary


def shared_beginning(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens several prompts have in common at the front; each keeps one of its own. 0 for one."""
    if len(prompts) < 2:
        return 0
    most, first = min(map(len, prompts)) - 1, prompts[0]
    return next((at for at in range(most) if any(row[at] != first[at] for row in prompts)), most)


class Conditionals(ABC):
    """A model after k prompts, one for each passage; row z of what it gives belongs to passage z.

    `end`: the token that ends an answer. Every token of `ends` ends one, so they count as one token: `end`
    has the sum of their probabilities, the others have none. Log space, float32; v: size of the vocabulary.
    """

    def __init__(self, model: Any, ends: Sequence[int]) -> None:
        """model: of transformers, in eval mode. ends: none where nothing ends an answer; `end` is -1 then."""
        self.end, self.device = (ends[0] if ends else -1), model.device
        self._model = model
        self._ends = torch.tensor(list(ends), dtype=torch.int64, device=self.device)
        self._rows = torch.zeros(0, dtype=torch.int64)  # of each row of the cache: its passage
        self._cache: Any = None

    @abstractmethod
    def start(self) -> Tensor:
        """Of the first token of an answer: (k, v)."""

    def step(self, rows: Tensor, tokens: Tensor) -> Tensor:
        """Of the token after `tokens` (n,) int64, each of which goes on from one of the last rows: (n, v).

        rows: (n,) int64, places in what the last `start` or `step` gave; one may be taken several times.
        """
        self._select(rows)
        return self._of(self._forward(tokens[:, None])[:, -1])

    def score(self, answers: Sequence[Sequence[int]]) -> Tensor:
        """Of the tokens of whole answers under every passage: (k, n, t), 0 at padding.

        Can be called at any time; the next call has to be `start`.
        """
        first = self.start()
        count, width = len(answers), max(map(len, answers))
        padded = torch.zeros((count, width), dtype=torch.int64, device=first.device)
        real = torch.zeros((count, width), dtype=torch.bool, device=first.device)
        for place, answer in enumerate(answers):
            padded[place, : len(answer)] = torch.tensor(list(answer), dtype=torch.int64)
            real[place, : len(answer)] = True
        found = torch.zeros((len(first), count, width), device=first.device)
        found[:, :, 0] = first[:, padded[:, 0]]
        pairs = torch.cartesian_prod(torch.arange(len(first)), torch.arange(count)).to(first.device)
        for part in pairs.split(MOST_ROWS) if width > 1 else ():
            look()
            self.start()
            passages, own = part.reshape(-1, 2).unbind(1)
            self._select(passages)
            after = self._of(self._forward(padded[own, :-1]))
            found[passages, own, 1:] = after.gather(2, padded[own, 1:, None]).squeeze(2)
        return found * real

    @abstractmethod
    def _forward(self, ids: Tensor) -> Tensor:
        """Logits (n, t, v) after each of the ids (n, t), which the cache then holds."""

    def _select(self, rows: Tensor) -> None:
        """Go on with these rows of the cache."""
        self._cache = selected(self._cache, rows)
        self._rows = self._rows[rows]

    def _of(self, logits: Tensor) -> Tensor:
        """Log-probabilities (..., v) with one token for all ends."""
        found = logits.float().log_softmax(-1)
        if not len(self._ends):
            return found
        ending = found[..., self._ends].logsumexp(-1)
        found[..., self._ends] = -torch.inf
        found[..., self.end] = ending
        return found


class CausalConditionals(Conditionals):
    """Of a causal model. What all prompts begin with is computed once; shorter ones are padded after that."""

    def __init__(
        self, model: Any, prompts: Sequence[Sequence[int]], ends: Sequence[int], most: int = 0
    ) -> None:
        """prompts: k lists of tokens, none empty. most: tokens of an answer."""
        super().__init__(model, ends)
        self._prompts, self._most = prompts, most
        self._mask = torch.zeros(0)
        self._prompt: tuple[Any, Tensor, Tensor] | None = None  # cache, mask, what it says of the first token

    def start(self) -> Tensor:
        """As Conditionals.start; the prompts are read once."""
        if self._prompt is None:
            self._prompt = self._read()
        cache, self._mask, first = self._prompt
        self._rows = torch.arange(len(first), device=first.device)
        self._cache = selected(cache, self._rows)
        return first.clone()

    def _read(self) -> tuple[Any, Tensor, Tensor]:
        from transformers import DynamicCache

        rows, shared = list(self._prompts), self._shared()
        self._cache = DynamicCache(config=self._model.config)
        self._mask = torch.ones((1, 0), dtype=torch.int64, device=self.device)
        for block in torch.tensor([rows[0][:shared]]).split(PREFILL_TOKENS, dim=1) if shared else ():
            self._forward(block.to(self.device))
        if shared:
            every = torch.zeros(len(rows), dtype=torch.int64, device=self.device)
            self._cache, self._mask = selected(self._cache, every), self._mask[every]
        else:
            self._mask = self._mask.expand(len(rows), 0)
        width = max(map(len, rows)) - shared
        ids = torch.zeros((len(rows), width), dtype=torch.int64)
        mask = torch.zeros((len(rows), width), dtype=torch.int64)
        for place, row in enumerate(rows):
            ids[place, width - len(row) + shared :] = torch.tensor(row[shared:])
            mask[place, width - len(row) + shared :] = 1
        logits = torch.zeros(0)
        for block, real in zip(
            ids.split(PREFILL_TOKENS, dim=1), mask.split(PREFILL_TOKENS, dim=1), strict=True
        ):
            look()
            logits = self._forward(block.to(self.device), real.to(self.device), last=True)
        return self._cache, self._mask, self._of(logits[:, -1])

    def _shared(self) -> int:
        """Tokens that all prompts begin with, where padding after them changes nothing; 0 for one prompt.

        A window that slides over the last tokens would count the padding.
        """
        rows = self._prompts
        window = getattr(self._model.config.get_text_config(), "sliding_window", None)
        if window is not None and max(map(len, rows)) + self._most > window:
            return 0
        return shared_beginning(rows)

    def _forward(self, ids: Tensor, real: Tensor | None = None, *, last: bool = False) -> Tensor:
        added = torch.ones_like(ids) if real is None else real
        self._mask = torch.cat([self._mask, added], 1)
        positions = (self._mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        found = self._model(
            input_ids=ids, attention_mask=self._mask, position_ids=positions, past_key_values=self._cache,
            use_cache=True, logits_to_keep=1 if last else 0,
        )  # fmt: skip
        logits: Tensor = found.logits
        return logits

    def _select(self, rows: Tensor) -> None:
        super()._select(rows)
        self._mask = self._mask[rows]


class EncoderDecoderConditionals(Conditionals):
    """Of an encoder-decoder: the prompts are what the encoder reads."""

    def __init__(
        self, model: Any, prompts: Sequence[Sequence[int]], ends: Sequence[int], most: int = 0
    ) -> None:
        """prompts: k lists of tokens, none empty. most: of no matter here."""
        super().__init__(model, ends)
        self._prompts = prompts
        self._read: tuple[Tensor, Tensor] | None = None  # states of the encoder, and which are of tokens

    def start(self) -> Tensor:
        """As Conditionals.start; the prompts are read once."""
        from transformers import DynamicCache, EncoderDecoderCache

        if self._read is None:
            self._read = self._encoded()
        own, cross = DynamicCache(config=self._model.config), DynamicCache(config=self._model.config)
        self._cache = EncoderDecoderCache(own, cross)
        self._rows = torch.arange(len(self._prompts), device=self.device)
        begin = torch.full_like(self._rows, self._model.config.decoder_start_token_id)
        return self._of(self._forward(begin[:, None])[:, -1])

    def _encoded(self) -> tuple[Tensor, Tensor]:
        width = max(map(len, self._prompts))
        ids = torch.zeros((len(self._prompts), width), dtype=torch.int64, device=self.device)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(self._prompts):
            ids[place, : len(row)] = torch.tensor(list(row))
            mask[place, : len(row)] = 1
        return self._model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state, mask

    def _forward(self, ids: Tensor) -> Tensor:
        from transformers.modeling_outputs import BaseModelOutput

        look()
        assert self._read is not None
        states, mask = self._read
        found = self._model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states[self._rows]), decoder_input_ids=ids,
            attention_mask=mask[self._rows], past_key_values=self._cache, use_cache=True,
        )  # fmt: skip
        logits: Tensor = found.logits
        return logits


def selected(cache: Any, rows: Tensor) -> Any:
    """Rows of a cache as one of its own; the other one stays as it is."""
    made = copy.copy(cache)
    if hasattr(made, "self_attention_cache"):
        made.self_attention_cache = selected(made.self_attention_cache, rows)
        made.cross_attention_cache = selected(made.cross_attention_cache, rows)
        made.is_updated = dict(made.is_updated)
        return made
    made.layers = [copy.copy(layer) for layer in made.layers]
    made.batch_select_indices(rows)
    return made
