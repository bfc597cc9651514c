"""Any retrieval task of MTEB, judged by its own evaluator: corpusmill through MTEB's search protocol.

    pip install mteb
    python examples/mteb_search.py NFCorpus --stage hybrid

The task's corpus is built into an index in `indexes/mteb/`, once, and each query is ranked by one stage of
`corpusmill evaluate`. Figures are those of `corpusmill evaluate --beir` over the same documents.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mteb
from mteb.models.model_meta import ModelMeta

from jobs.evaluation.ranking import rank_queries
from jobs.evaluation.stages import STAGES
from pipelines.config import validate
from pipelines.index import build
from pipelines.judged import Query
from retrieval.search import Searcher


class CorpusmillSearch:
    """MTEB's search protocol over an index in `folder`; `settings`: sections of a build configuration."""

    def __init__(self, folder: Path, stage: str, settings: Mapping[str, Any] = {}) -> None:
        self.folder = folder
        self.stage = next(one for one in STAGES if one.name == stage)
        self.settings = settings

    def index(self, corpus: Any, *, task_metadata: Any, hf_split: str, hf_subset: str, **_: Any) -> None:
        """Write the corpus as JSON lines and build what is not built."""
        where = self.folder / task_metadata.name / f"{hf_subset}-{hf_split}"
        where.mkdir(parents=True, exist_ok=True)
        with open(where / "corpus.jsonl", "w", encoding="utf-8") as file:
            for row in corpus:
                document = {"_id": row["id"], "title": row.get("title") or "", "text": row["text"]}
                file.write(json.dumps(document) + "\n")
        paths = {"paths": [str(where)], "format": "beir"}
        self.path = str(where / "index")
        config = validate({"corpus": paths, "index": {"path": self.path}, **self.settings}, "MTEB")
        build(config, "python examples/mteb_search.py ..., as before", _say)

    def search(self, queries: Any, *, top_k: int, **_: Any) -> dict[str, dict[str, float]]:
        """Documents and scores of each query, at most 100."""
        asked = [Query(row["id"], row["text"]) for row in queries]
        with Searcher.open(self.path) as searcher:
            ranked = rank_queries(searcher, self.stage, asked, documents=True)
        return {query: dict(list(found.items())[:top_k]) for query, found in ranked.documents.items()}

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """The name under which MTEB keeps results."""
        return ModelMeta.create_empty({"name": f"corpusmill/{self.stage.name}"})


def _say(event: dict[str, Any]) -> None:
    if "message" in event:
        print(event["message"], file=sys.stderr)


def main() -> None:
    """Evaluate one task and print its scores."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", help="name of a retrieval task, such as NFCorpus")
    parser.add_argument("--stage", default="hybrid", choices=[stage.name for stage in STAGES])
    parser.add_argument("--folder", type=Path, default=Path("indexes/mteb"))
    options = parser.parse_args()
    found = mteb.evaluate(
        CorpusmillSearch(options.folder, options.stage),
        mteb.get_task(options.task),
        overwrite_strategy="always",
    )
    print(json.dumps(found.task_results[0].scores, indent=2))


if __name__ == "__main__":
    main()
