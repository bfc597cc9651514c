"""Values that a sample has not shown widen types, and notes are told; nothing is embedded twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs.commands.index_status import status, status_lines
from pipelines.upkeep.verification import verify
from retrieval.format.manifest import read_manifest
from retrieval.search.searcher import Searcher
from retrieval.storage.store import Store
from tests.conftest import make_documents, write_jsonl


def _vectors(index: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (index / "vectors").rglob("*.npy")}


def test_types_widen_between_builds_and_notes_are_told(build: Callable[..., Any], tmp_path: Path) -> None:
    corpus, index = tmp_path / "corpus", tmp_path / "index"
    dated = [{**document, "at": "2020-01-01T00:00:00+02:00"} for document in make_documents(8)]
    write_jsonl(corpus / "a.jsonl", dated)
    build(corpus, index)
    assert read_manifest(Store(str(index))).metadata == {"at": "datetime", "year": "integer"}
    before = _vectors(index)

    late = [{**document, "year": "unknown", "tags": ["x"]} for document in make_documents(4, first=8)]
    (corpus / "lang=de").mkdir()
    (corpus / "lang=de" / "b.txt").write_bytes("Der Kapitän prüft die Größe des Schiffes".encode("cp1252"))
    write_jsonl(corpus / "c.jsonl", late)
    built = build(corpus, index)
    assert built.manifest.metadata == {
        "at": "datetime", "lang": "string", "tags": "list[string]", "year": "string",
    }  # fmt: skip
    assert (built.manifest.documents, built.manifest.rejected) == (13, 0)
    (told,) = [message for message in build.messages if "widened" in message]  # type: ignore[attr-defined]
    assert "lang: not there -> string, tags: not there -> list[string], year: integer -> string" in told
    assert before.items() <= _vectors(index).items()
    assert not build(corpus, index).changed

    assert built.manifest.notes == {"decoded as windows-1252, which was guessed": 1}
    noted = "noted: 1 times decoded as windows-1252, which was guessed"
    store = Store(str(index))
    assert noted in status_lines(status(store))
    assert verify(store, built.manifest, lambda done, total: None) == []
    with Searcher.open(str(index)) as searcher:
        wanted = {
            'year = "1500"': 1, 'year = "unknown"': 4, 'lang = "de"': 1, 'tags contains "x"': 4,
            'at = "2019-12-31T22:00:00Z"': 8, 'at < "2020-01-01T00:00:00+02:00"': 0,
        }  # fmt: skip
        hits = {text: searcher("notes", k=40, rerank="none", filter=text).hits for text in wanted}
    found = {text: len({hit.doc_id for hit in some}) for text, some in hits.items()}
    assert found == wanted
