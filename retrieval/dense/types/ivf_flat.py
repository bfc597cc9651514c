"""ivf_flat: inverted lists of float16 vectors."""

from typing import Any

import faiss
import numpy as np

from retrieval.dense.faiss_files import Walk
from retrieval.dense.index_type import Demand
from retrieval.dense.types.inverted import InvertedType, choose_nlist
from retrieval.format import FaissSpec

_FP16 = faiss.ScalarQuantizer.QT_fp16


class IvfFlat(InvertedType):
    """Codes are the vectors themselves, so a longer shortlist finds nothing more."""

    name = "ivf_flat"
    summary = "inverted lists of float16 vectors"
    kind = b"IwSq"
    advice = "A smaller dense.nlist raises it."

    def choose(self, demand: Demand) -> FaissSpec:
        """Lists alone."""
        return self.chosen_lists(demand, choose_nlist(demand))

    def notation(self, spec: FaissSpec) -> str:
        """As FAISS calls it."""
        return f"{self.coarse_notation(spec)},SQfp16"

    def code_size(self, spec: FaissSpec) -> int:
        """float16."""
        return 2 * spec.dimension

    def empty_index(self, spec: FaissSpec, coarse: Any, *, lists: bool) -> Any:
        """Of scalar quantizers."""
        return faiss.IndexIVFScalarQuantizer(
            coarse, spec.dimension, spec.nlist, _FP16, faiss.METRIC_INNER_PRODUCT, False, lists
        )

    def train_codes(self, spec: FaissSpec, index: Any, sample: np.ndarray, seed: int) -> None:
        """float16 has nothing to learn."""
        index.train(sample)

    def share_codes(self, index: Any, trained: Any) -> None:
        """The quantizer of scalars."""
        index.sq = trained.sq

    def check_codes(self, walk: Walk, spec: FaissSpec) -> None:
        """Nothing in it is trained."""
        size = self.code_size(spec)
        walk.values(
            kind=("i", _FP16), range=("i", 0), argument=("f", 0.0), d=("Q", spec.dimension),
            size=("Q", size), trained=("Q", 0), code_size=("Q", size), by_residual=("B", 0),
        )  # fmt: skip


TYPE = IvfFlat()
