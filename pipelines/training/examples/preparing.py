"""Makes the files of examples of a training: train and dev, disjoint by group."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipelines.training.examples.example import Example, write_examples
from pipelines.training.examples.mining import Miner, Progress
from pipelines.training.examples.sources import read_asked
from pipelines.training.examples.splitting import split_by_group, without_groups
from pipelines.training.settings import TrainConfig
from retrieval.errors import InputError
from retrieval.search import Searcher
from retrieval.storage import Store

TRAIN, DEV, REPORT = "examples/train.jsonl", "examples/dev.jsonl", "examples/report.json"


@dataclass
class Prepared:
    """How many examples there are, what was left out, and why."""

    train: int
    dev: int
    queries: int
    dropped: dict[str, int] = field(default_factory=dict)
    shared_with_dev: int = 0  # of train, left out because dev has their group

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


def prepare(
    config: TrainConfig, searcher: Searcher, index: Store, output: Store, progress: Progress,
    say: Callable[[str], None] = lambda _text: None,
) -> Prepared:  # fmt: skip
    """Mine, split and write. Raises InputError for a split without an example."""
    settings = config.examples
    miner = Miner(searcher, index, config.negatives, settings.group, settings.positives)
    asked = read_asked(settings, index, searcher.manifest, settings.split)
    mined = miner.mine(asked, progress)
    shared = 0
    if settings.dev_split is not None:
        others = miner.mine(read_asked(settings, index, searcher.manifest, settings.dev_split), progress)
        dev = others.examples
        train = without_groups(mined.examples, {example.group for example in dev})
        shared = len(mined.examples) - len(train)
    else:
        train, dev = split_by_group(mined.examples, settings.dev_share, settings.seed)
    dev = dev[: settings.most_dev]
    found = Prepared(len(train), len(dev), mined.queries, dict(mined.dropped), shared)
    for name, examples in (("train", train), ("dev", dev)):
        if not examples:
            raise InputError(
                f"the split {name} is empty: {mined.queries:,} queries, {_said(found.dropped)}",
                hint="Check examples, and examples.group where all documents have one title.",
            )
    for text in _lines(found):
        say(text)
    _put(output, TRAIN, train)
    _put(output, DEV, dev)
    _put_judged(output, dev)
    output.put_json(REPORT, found.as_json())
    return found


def _said(dropped: dict[str, int]) -> str:
    return "; ".join(f"{count:,} left out: {reason}" for reason, count in dropped.items()) or "none left out"


def _lines(found: Prepared) -> list[str]:
    lines = [
        f"{found.train:,} examples to train with and {found.dev:,} for dev, of {found.queries:,} queries."
    ]
    lines += [f"{count:,} queries left out: {reason}." for reason, count in found.dropped.items()]
    if found.shared_with_dev:
        lines.append(f"{found.shared_with_dev:,} examples left out: dev has documents of theirs.")
    return lines


def _put(output: Store, key: str, examples: list[Example]) -> None:
    with output.writing(key) as write:
        write_examples(Path(write.path), examples)


def _put_judged(output: Store, dev: list[Example]) -> None:
    """Dev in BEIR layout beside the examples, so that indexes can be compared on it."""
    queries = {one.query_id: {"_id": one.query_id, "text": one.query, "answers": one.answers} for one in dev}
    lines = "".join(f"{json.dumps(query, ensure_ascii=False)}\n" for query in queries.values())
    output.put("examples/queries.jsonl", lines.encode("utf-8", "surrogatepass"))
    judged = {(one.query_id, doc_id): None for one in dev for doc_id in one.relevant}
    plain = [pair for pair in judged if not any("\t" in name or "\n" in name for name in pair)]
    rows = "".join(f"{query_id}\t{doc_id}\t1\n" for query_id, doc_id in plain)
    output.put(
        "examples/qrels/dev.tsv", f"query-id\tcorpus-id\tscore\n{rows}".encode("utf-8", "surrogatepass")
    )


def local_copy(output: Store, key: str, folder: Path) -> Path:
    """A file of the output on this machine."""
    if output.is_local:
        return Path(output.path(key))
    path = folder / Path(key).name
    if not path.is_file():
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            temporary = Path(file.name)
        output.fs.get_file(output.path(key), str(temporary))
        temporary.rename(path)
    return path
