"""signs: a bit a dimension, searched by Hamming distance; a type of index from outside the package.

It is copied into a package of its own, `corpusmill_signs`, which is put on the path.
"""

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from retrieval.dense import Demand, DenseType, MergeWork, ShardHeader, StoredShard
from retrieval.format import DenseSpec, SearchParameters, ShardVectors, check_file, crc32_of
from retrieval.settings import Settings
from retrieval.storage import Count

FILE = "signs.bin"  # uint8 (rows, dimension / 8)
GRID = (50, 100, 200, 400)


class SignOptions(Settings):
    least_shortlist: int = Field(10, ge=1, description="Shortest shortlist that tuning tries.")


class SignSpec(DenseSpec):
    least_shortlist: int = Field(ge=1)


class SignHeader(ShardHeader):
    signs_crc32: Count


class Signs(DenseType):
    name = "signs"
    summary = "a bit a dimension, re-scored exactly"
    spec = SignSpec
    options = SignOptions
    header = SignHeader
    merges = True
    tuned = ("shortlist",)

    def choose(self, demand: Demand) -> SignSpec:
        options = SignOptions.model_validate(demand.settings.options)
        return SignSpec(
            type="signs", dimension=demand.dimension, metric=demand.metric,
            least_shortlist=options.least_shortlist,
        )  # fmt: skip

    def memory_bytes(self, spec: SignSpec) -> float:
        return spec.dimension // 8

    def row_bytes(self, spec: SignSpec) -> dict[str, int]:
        return {FILE: spec.dimension // 8}

    def grid(self, spec: SignSpec, k: int) -> list[SearchParameters]:
        lengths = [n for n in GRID if n >= max(k, spec.least_shortlist)]
        return [SearchParameters(shortlist=n, depth=k) for n in lengths or [k]]

    def deepened(self, spec: Any, parameters: SearchParameters, k: int, share: float) -> SearchParameters:
        return parameters.for_depth(k)

    def add(
        self, trained: None, spec: SignSpec, vectors: ShardVectors, first_row: int, folder: Path
    ) -> dict[str, Any]:
        with (folder / FILE).open("wb") as file:
            for _, block in vectors.blocks():
                file.write(np.packbits(block > 0, axis=1).tobytes())
        return {"signs_crc32": crc32_of(folder / FILE)}

    def read(self, folder: Path, header: SignHeader, spec: SignSpec) -> None:
        check_file(folder / FILE, header.vectors * (spec.dimension // 8))

    def merge(self, trained: None, spec: SignSpec, work: MergeWork) -> dict[str, Any]:
        with (work.out / FILE).open("wb") as file:
            for piece in work.stored:
                file.write((piece.folder / FILE).read_bytes())
        return {"signs_crc32": crc32_of(work.out / FILE)}

    def open(
        self, stored: StoredShard, spec: SignSpec, trained: None, vectors: ShardVectors | None, *, pack: bool
    ) -> "SignSearch":
        codes = np.fromfile(stored.folder / FILE, np.uint8)
        return SignSearch(codes.reshape(stored.vectors, spec.dimension // 8))


class SignSearch:
    def __init__(self, codes: np.ndarray) -> None:
        self._codes = codes

    def search(
        self, queries: np.ndarray, width: int, parameters: SearchParameters, assigned: Any,
        selection: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        rows = np.arange(len(self._codes)) if selection is None else selection
        scores = np.full((len(queries), width), -np.inf, np.float32)
        found = np.full((len(queries), width), -1, np.int64)
        for number, query in enumerate(np.packbits(queries > 0, axis=1)):
            same = -np.bitwise_count(self._codes[rows] ^ query).sum(axis=1, dtype=np.int64)
            best = np.argsort(-same, kind="stable")[:width]
            scores[number, : len(best)], found[number, : len(best)] = same[best], rows[best]
        return scores, found


SIGNS = Signs()
