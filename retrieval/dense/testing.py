"""What every type of dense index has to do: a suite that a plug-in inherits to prove itself, with pytest.

    class TestSigns(DenseTypeSuite):
        kind = SIGNS
        settings = DenseSettings.model_construct(type="signs", options={})

pytest runs it. The vectors are small and clustered; nothing needs Ray or a network.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from retrieval.dense.dense_shard import DenseShard
from retrieval.dense.index_type import Demand, DenseType
from retrieval.dense.making import build_piece, merge_pieces, train_quantizer
from retrieval.dense.quantizer import Quantizer
from retrieval.dense.settings import DenseSettings
from retrieval.dense.stored_shard import SHARD_HEADER
from retrieval.errors import CorpusmillError
from retrieval.format import ShardVectors, exact_search

K = 10


class DenseTypeSuite:
    """Inherit it and give `kind`, and the settings of an index of that kind."""

    kind: ClassVar[DenseType]
    settings: ClassVar[DenseSettings] = DenseSettings()
    dimension: ClassVar[int] = 32
    rows: ClassVar[int] = 2_000
    least_recall: ClassVar[float] = 0.9  # recall@10 of the most thorough point of the grid

    @pytest.fixture(scope="class")
    def vectors(self) -> np.ndarray:
        """float16 (rows, dimension), normalised, around 50 centres."""
        return self._clustered(self.rows, 1).astype(np.float16)

    @pytest.fixture(scope="class")
    def queries(self) -> np.ndarray:
        """float32 (20, dimension)."""
        return self._clustered(20, 2)

    @pytest.fixture(scope="class")
    def quantizer(self, vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Quantizer:
        """Trained on all vectors, and opened again."""
        folder = tmp_path_factory.mktemp("quantizer")
        demand = Demand(self.settings, self.rows, self.dimension, "cosine", 10**9)
        spec = self.kind.choose(demand)
        train_quantizer(spec, vectors, 0, folder, threads=2, kind=self.kind)
        return Quantizer.open(folder, spec, self.kind)

    def test_the_spec_survives_the_manifest(self, quantizer: Quantizer) -> None:
        """As JSON, read by the type's own model, which takes no key that it does not know."""
        spec = quantizer.spec
        assert type(spec).model_validate_json(spec.model_dump_json()) == spec
        assert type(spec) is self.kind.spec and spec.type == self.kind.name
        with pytest.raises(ValueError, match="unknown_key"):
            self.kind.spec.model_validate({**spec.model_dump(), "unknown_key": 1})

    def test_training_is_repeatable(self, quantizer: Quantizer, vectors: np.ndarray, tmp_path: Path) -> None:
        """The same sample and seed give the same files."""
        again = train_quantizer(quantizer.spec, vectors, 0, tmp_path, threads=2, kind=self.kind)
        assert again.quantizer == quantizer.id

    def test_the_grid_leads_to_the_exact_neighbours(
        self, quantizer: Quantizer, vectors: np.ndarray, queries: np.ndarray, tmp_path: Path
    ) -> None:
        """Its last point; scores are exact inner products."""
        shard = self._shard(quantizer, vectors, [700, 1_300], tmp_path)
        last = self.kind.grid(quantizer.spec, K)[-1]
        scores, rows = shard.search(queries, K, parameters=last)
        wanted_scores, wanted = exact_search(queries, ShardVectors.from_array(vectors), K)
        overlap = np.mean([len(set(a) & set(b)) / K for a, b in zip(rows, wanted, strict=True)])
        assert overlap >= self.least_recall
        same = rows == wanted
        np.testing.assert_allclose(scores[same], wanted_scores[same], rtol=1e-4)

    def test_a_shard_does_not_depend_on_its_pieces(
        self, quantizer: Quantizer, vectors: np.ndarray, queries: np.ndarray, tmp_path: Path
    ) -> None:
        """Cut in one or in three, it gives the same files, where pieces are merged."""
        for name, cuts in (("one", []), ("three", [1, 1_999])):
            self._shard(quantizer, vectors, cuts, tmp_path / name)
        if self.kind.merges:
            for path in sorted((tmp_path / "one" / "shard").iterdir()):
                assert path.read_bytes() == (tmp_path / "three" / "shard" / path.name).read_bytes()

    def test_a_missing_piece_is_found(
        self, quantizer: Quantizer, vectors: np.ndarray, tmp_path: Path
    ) -> None:
        """Rows are consecutive."""
        folders = self._pieces(quantizer, vectors, [700, 1_300], tmp_path)
        with pytest.raises(CorpusmillError, match="missing or given twice"):
            merge_pieces(quantizer, [folders[0], folders[2]], tmp_path / "out")

    def test_a_selection_is_all_that_is_searched(
        self, quantizer: Quantizer, vectors: np.ndarray, queries: np.ndarray, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """By the type itself, which a small selection is never asked of otherwise."""
        monkeypatch.setattr("retrieval.dense.dense_shard.EXACT_ROWS", 0)
        shard = self._shard(quantizer, vectors, [], tmp_path)
        chosen = np.arange(5, self.rows, 3)
        last = self.kind.grid(quantizer.spec, K)[-1]
        _, rows = shard.search(queries, K, parameters=last, selection=chosen)
        assert np.isin(rows, chosen).all()

    def test_few_rows_and_none(self, quantizer: Quantizer, vectors: np.ndarray, queries: np.ndarray,
                               tmp_path: Path) -> None:  # fmt: skip
        """What is missing is row -1."""
        last = self.kind.grid(quantizer.spec, K)[-1]
        few = self._shard(quantizer, vectors[:6], [], tmp_path / "few")
        _, rows = few.search(queries, K, parameters=last)
        assert (rows[:, 6:] == -1).all()
        assert (np.sort(rows[:, :6], axis=1) == np.arange(6)).all()
        none = self._shard(quantizer, vectors[:0], [], tmp_path / "none")
        assert (none.search(queries, K, parameters=last)[1] == -1).all()

    def test_files_are_of_the_stated_size(
        self, quantizer: Quantizer, vectors: np.ndarray, tmp_path: Path
    ) -> None:
        """Verification counts by it."""
        self._shard(quantizer, vectors, [], tmp_path)
        for name, each in self.kind.row_bytes(quantizer.spec).items():
            assert (tmp_path / "shard" / name).stat().st_size == each * self.rows

    def test_truncated_files_are_damage(
        self, quantizer: Quantizer, vectors: np.ndarray, tmp_path: Path
    ) -> None:
        """Every file of a shard, found when it is opened."""
        self._shard(quantizer, vectors, [], tmp_path)
        folder, whole = tmp_path / "shard", ShardVectors.from_array(vectors)
        assert (folder / SHARD_HEADER).is_file()
        for path in sorted(folder.iterdir()):
            content = path.read_bytes()
            for keep in (0, len(content) // 2, len(content) - 2):
                path.write_bytes(content[:keep])
                with pytest.raises(CorpusmillError):
                    DenseShard.open(folder, quantizer, whole)
            path.write_bytes(content)
        DenseShard.open(folder, quantizer, whole).close()

    def _clustered(self, count: int, seed: int) -> np.ndarray:
        centres = np.random.default_rng(0).normal(size=(50, self.dimension))
        rng = np.random.default_rng(seed)
        found = centres[rng.integers(0, 50, count)] + 0.8 * rng.normal(size=(count, self.dimension))
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)

    def _pieces(self, quantizer: Quantizer, vectors: np.ndarray, cuts: list[int], to: Path) -> list[Path]:
        folders, first = [], 0
        for number, end in enumerate([*cuts, len(vectors)]):
            folders.append(to / f"piece-{number}")
            piece = ShardVectors.from_array(vectors[first:end])
            build_piece(quantizer, piece, first, folders[-1], threads=2)
            first = end
        return folders

    def _shard(self, quantizer: Quantizer, vectors: np.ndarray, cuts: list[int], to: Path) -> DenseShard:
        folders, every = self._pieces(quantizer, vectors, cuts, to), ShardVectors.from_array(vectors)
        merge_pieces(quantizer, folders, to / "shard", vectors=every, settings=self.settings, threads=1)
        return DenseShard.open(to / "shard", quantizer, every)
