"""Any sentence-transformers CrossEncoder: tokenized and run by that library, in our batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from retrieval.errors import ModelError
from retrieval.models.checks import read_model_json
from retrieval.models.encoders import BATCH_TOKENS, choose_device, choose_dtype
from retrieval.models.loading import load_model
from retrieval.models.resolved_model import ResolvedModel
from retrieval.models.trust import Trust
from retrieval.settings import ModelSettings

_HEADS = ("ForSequenceClassification", "ForCausalLM")


@dataclass(frozen=True)
class _Tokens:
    features: dict[str, Any]
    lengths: npt.NDArray[np.int64]
    truncated: npt.NDArray[np.bool_]


class TransformerPairs:
    """A CrossEncoder loaded by sentence-transformers; see `cross_encoder.Runtime`."""

    def __init__(
        self, model: ResolvedModel, settings: ModelSettings, *, threads: int | None, trust: Trust
    ) -> None:
        """Raises ModelError where the model is no cross-encoder or cannot be loaded."""
        if threads is not None:
            torch.set_num_threads(threads)
        _check_kind(model)
        self._device = choose_device(settings)
        self._dtype = choose_dtype(settings, self._device)
        self.batch_tokens = settings.batch_tokens or BATCH_TOKENS[self._device]
        self._model = load_model(
            "CrossEncoder", model, trust, device=self._device, dtype=self._dtype,
            prepare=partial(_prepare, name=model.name), variant=(settings.max_tokens,),
            max_length=settings.max_tokens,
            # Scores stay logits: a sigmoid in float32 makes good passages equal.
            activation_fn=nn.Identity(),
        )  # fmt: skip
        self._window = int(self._model.max_seq_length or 0)
        if not self._window:
            raise ModelError(
                f"model {model.name!r} does not say how long its input may be",
                hint="Set `cross_encoder.model.max_tokens`.",
            )
        prompt_name = self._model.default_prompt_name
        self._prompt = self._model.prompts.get(prompt_name) if prompt_name else None

    @property
    def description(self) -> dict[str, Any]:
        """Window and precision."""
        return {"max_tokens": self._window, "dtype": str(self._dtype).removeprefix("torch.")}

    def tokenize(self, pairs: Sequence[tuple[str, str]]) -> _Tokens:
        """Tokens of pairs as the model's own code makes them; a pair that fills the window counts as cut."""
        features = self._model.preprocess(list(pairs), prompt=self._prompt)
        lengths = features["attention_mask"].sum(dim=1).numpy().astype(np.int64)
        return _Tokens(features, lengths, lengths >= self._window)

    @torch.inference_mode()
    def run(self, tokens: _Tokens, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Scores of these rows: (len(rows),) float32."""
        chosen = torch.from_numpy(rows)
        used = tokens.features["attention_mask"][chosen].any(dim=0).nonzero()
        columns = slice(int(used[0]), int(used[-1]) + 1)  # padded on the left or on the right
        batch = {
            name: value[chosen][:, columns].to(self._device) if isinstance(value, Tensor) else value
            for name, value in tokens.features.items()
        }
        scores: Tensor = self._model(batch)["scores"]
        return scores.float().reshape(len(rows)).cpu().numpy()


def _prepare(loaded: Any, *, name: str) -> None:
    """Have a CrossEncoder give one precise score a pair. Raises ModelError where it gives several."""
    if loaded.num_labels != 1:
        raise ModelError(
            f"model {name!r} gives {loaded.num_labels} scores for a pair, not one",
            hint="Choose a cross-encoder for re-ranking; this one classifies.",
        )
    # The last layer in float32: in bfloat16 scores have three digits, and passages tie.
    heads = [part_name for part_name, part in loaded.named_modules() if _is_head(part)]
    loaded.set_keep_in_fp32_modules(heads)
    loaded[0].unpad_inputs = False  # features are a matrix, of which batches are cut


def _is_head(part: nn.Module) -> bool:
    return type(part) is nn.Linear and part.out_features == 1


def _check_kind(model: ResolvedModel) -> None:
    """Refuse encoders without a head: sentence-transformers would give them one with random weights."""
    kind = (read_model_json(model.folder / "config_sentence_transformers.json") or {}).get("model_type")
    architectures = (read_model_json(model.folder / "config.json") or {}).get("architectures") or []
    if kind not in (None, "CrossEncoder"):
        found = f"a {kind}"
    elif kind is None and not any(str(name).endswith(_HEADS) for name in architectures):
        found = f"a bare {', '.join(map(str, architectures)) or 'transformer'}"
    else:
        return
    raise ModelError(
        f"model {model.name!r} is {found}, not a cross-encoder",
        hint="Name a sentence-transformers CrossEncoder, or leave `cross_encoder.model` out.",
    )
