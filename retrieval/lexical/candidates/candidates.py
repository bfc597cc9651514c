"""tantivy's side of a shard: an index of the terms that finds candidates quickly, and how far to trust it.

tantivy scores with k1 = 1.2, b = 0.75, the shard's own average length, and lengths rounded down to one
of 256 steps. Boosts give it the idf of the whole index; what remains different is bounded by `error_bound`,
so that a search knows whether its candidates hold the k best of the exact scores.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tantivy

from retrieval.errors import CorpusmillError, IndexDamaged
from retrieval.format import DAMAGE_HINT
from retrieval.lexical.bm25 import BM25, idf
from retrieval.lexical.candidates.tantivy_files import check_stores
from retrieval.lexical.query import LexicalQuery

TERMS_FIELD, ROW_FIELD = "terms", "row"
K1, B = 1.2, 0.75  # fixed in tantivy
REMOVALS = 20  # attempts to remove the folder of links
HEAP_BYTES = 256_000_000  # of the writer; a larger shard is written in several segments


@contextmanager
def _damage(folder: Path) -> Iterator[None]:
    """tantivy tells of damage by ValueError, or by a Rust panic, which is no Exception."""
    try:
        yield
    except (CorpusmillError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if isinstance(error, ValueError | OSError) or type(error).__name__ == "PanicException":
            raise IndexDamaged(f"tantivy cannot read {folder}: {error}", hint=DAMAGE_HINT) from error
        raise


@contextmanager
def _links(folder: Path) -> Iterator[Path]:
    """A passing folder of links to the files of `folder`; what was mapped by them stays mapped.

    tantivy writes a lock beside what it opens. The index may be read-only, and a search leaves it as it is.
    """
    links = Path(tempfile.mkdtemp(prefix="corpusmill-"))
    try:
        for path in folder.resolve().iterdir():
            (links / path.name).symlink_to(path)
        yield links
    finally:
        for _ in range(REMOVALS):  # a thread of tantivy's may just be writing its lock
            shutil.rmtree(links, ignore_errors=True)
            if not links.exists():
                break
            time.sleep(0.01)


class CandidatesWriter:
    """Adds passages to a new tantivy index in `folder`, with one thread and a bounded heap."""

    def __init__(self, folder: Path, *, heap_bytes: int = HEAP_BYTES) -> None:
        self._folder = folder
        index = tantivy.Index(schema(), path=str(folder))
        index.register_tokenizer("spaces", _spaces())
        self._writer = index.writer(heap_size=heap_bytes, num_threads=1)
        self._rows = 0

    def add(self, passages: Sequence[list[str]]) -> None:
        """Add consecutive passages, each a list of its terms."""
        for terms in passages:
            document = tantivy.Document()
            document.add_unsigned(ROW_FIELD, self._rows)
            document.add_text(TERMS_FIELD, " ".join(terms))
            self._writer.add_document(document)
            self._rows += 1

    def finish(self) -> None:
        """Write everything; only the index's own files are left in the folder."""
        self._writer.commit()
        self._writer.garbage_collect_files()
        self._writer.wait_merging_threads()
        for path in self._folder.glob(".*"):  # locks, and a list of what may be deleted: nothing is
            path.unlink()


def schema() -> tantivy.Schema:
    """Terms with their frequencies, and the row as a fast field."""
    builder = tantivy.SchemaBuilder()
    builder.add_text_field(TERMS_FIELD, stored=False, tokenizer_name="spaces", index_option="freq")
    builder.add_unsigned_field(ROW_FIELD, stored=False, indexed=False, fast=True)
    return builder.build()


def _spaces() -> tantivy.TextAnalyzer:
    return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()


@dataclass(frozen=True)
class Found:
    """Candidate rows int64 (n,), sorted. A row that is not among them scores at most `rest` in tantivy."""

    rows: np.ndarray
    rest: float


class Candidates:
    """The tantivy index of a shard, opened without watching its folder."""

    def __init__(self, folder: Path, rows: int) -> None:
        """Raises IndexDamaged where tantivy cannot open it or it holds another number of passages."""
        self._folder = folder
        self._rows = rows
        with _links(folder) as links, _damage(folder):
            check_stores(folder)
            self._index: Any = tantivy.Index.open(str(links))
            self._index.config_reader(reload_policy="manual")
            self._schema = self._index.schema
            self._searcher: Any = self._index.searcher()
            found = self._searcher.num_docs
        if found != rows:
            raise IndexDamaged(
                f"tantivy has {found} passages in {folder}, expected {rows}.", hint=DAMAGE_HINT
            )

    def search(self, query: LexicalQuery, frequencies: np.ndarray, limit: int) -> Found:
        """The `limit` best rows by tantivy's score with the query's weights.

        frequencies: passages of this shard that hold each term, int64 (t,).
        """
        own = idf(frequencies, self._rows)
        clauses = []
        with _damage(self._folder):
            for number in np.flatnonzero(frequencies).tolist():
                term = tantivy.Query.term_query(self._schema, TERMS_FIELD, query.terms[number], "freq")
                boost = float(query.weights[number] / own[number])
                clauses.append((tantivy.Occur.Should, tantivy.Query.boost_query(term, boost)))
            if not clauses:
                return Found(np.empty(0, np.int64), 0.0)
            wanted = tantivy.Query.boolean_query(clauses)
            hits = self._searcher.search(wanted, limit, count=False).hits
            values = self._searcher.fast_field_values(ROW_FIELD, [address for _, address in hits])
        if any(value is None or not 0 <= value < self._rows for value in values):
            raise IndexDamaged(
                f"tantivy has rows in {self._folder} that the shard does not have.", hint=DAMAGE_HINT
            )
        rest = float(hits[-1][0]) if len(hits) == limit else 0.0
        return Found(np.sort(np.array(values, np.int64)), rest)

    def close(self) -> None:
        """Let go of the mapped files."""
        self._searcher = self._index = None


def error_bound(bm25: BM25, average_length: float, longest: int) -> float:
    """How many times larger than tantivy's score an exact one can be, for passages up to `longest` terms.

    Of one term, exact / tantivy = (k1 + 1) / (K1 + 1) * (tf + norm_tantivy) / (tf + norm), which lies
    between its values at tf = 1 and at infinity. The sum over terms is bounded by the largest of them.
    """
    lengths = _steps(longest)
    theirs = BM25(K1, B, average_length).length_norms(lengths)
    ours = bm25.length_norms(lengths)
    # A length is rounded down for tantivy; its own norm is at least that of the step.
    ratio = max(1.0, float(((1 + theirs) / (1 + ours)).max()))
    return (bm25.k1 + 1) / (K1 + 1) * ratio * (1 + 1e-4)  # and rounding of float32


def _steps(longest: int) -> np.ndarray:
    """tantivy's rounded lengths up to `longest`: exact to 40, then wider by twos every 8."""
    steps, width = list(range(41)), 2
    while steps[-1] < longest:
        steps += [steps[-1] + width * number for number in range(1, 9)]
        width *= 2
    return np.array([step for step in steps if step <= longest], np.float64)
