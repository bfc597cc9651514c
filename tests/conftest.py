"""What the tests share: one Ray of two CPUs, a small corpus, and a way to build it."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")

# Half the layers of the default encoder, for tests that are not of an encoder.
SMALL_MODEL = "all-MiniLM-L6-v2"
TOPICS = ("volcanoes", "glaciers", "bridges", "violins", "bees", "comets", "rivers", "clocks")


# What a skip may say where CORPUSMILL_NO_SKIPS forbids skips, as CI does: these cannot be installed.
MAY_BE_SKIPPED = ("CORPUSMILL_KUBERAY_CRDS", "GPU", "tmpfs")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Where nothing may be skipped, a skipped test has failed: a missing program would hide it for ever."""
    report: Any = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CORPUSMILL_NO_SKIPS"):
        reason = str(report.longrepr)
        if not any(allowed in reason for allowed in MAY_BE_SKIPPED):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} was skipped where nothing may be: {reason}"
    return report


def make_documents(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Documents that differ, some of them long enough for several passages; the same for the same numbers."""
    documents = []
    for number in range(first, first + count):
        topic = TOPICS[number % len(TOPICS)]
        sentences = [
            f"Note {number}.{line} is about {topic}, seen in {1500 + number} near place {line * 7 % 13}."
            for line in range(3 + (number % 9) * 5)
        ]
        text = "\n\n".join(" ".join(sentences[start : start + 4]) for start in range(0, len(sentences), 4))
        documents.append(
            {"_id": f"d{number:05d}", "title": f"On {topic} {number}", "text": text, "year": 1500 + number}
        )
    return documents


def write_jsonl(path: Path, documents: list[dict[str, Any]]) -> Path:
    """Write documents as JSONL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(document) + "\n" for document in documents), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A local Ray with two CPUs that all tests of a session share."""
    import ray

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    if not ray.is_initialized():
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False,
            logging_level=logging.CRITICAL, object_store_memory=500_000_000,
        )  # fmt: skip
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def build(ray_session: None) -> Callable[..., Any]:
    """Build with a configuration given as plain values; the messages are kept in `build.messages`."""
    from pipelines.config.build_settings import validate
    from pipelines.index import build as build_index

    def run(corpus: Any, index: Path | str, /, **sections: dict[str, Any]) -> Any:
        values: dict[str, Any] = {
            "corpus": {"paths": [str(path) for path in (corpus if isinstance(corpus, list) else [corpus])]},
            "index": {"path": str(index)},
            "dense": {"tune_queries": 20},
            "model": {"name": SMALL_MODEL},
        }
        for name, section in sections.items():
            values.setdefault(name, {}).update(section)
        messages: list[str] = []

        def listen(event: dict[str, Any]) -> None:
            if "message" in event:
                messages.append(event["message"])

        run.messages = messages  # type: ignore[attr-defined]
        return build_index(validate(values, "test"), "corpusmill build", listen)

    return run


@pytest.fixture(scope="session")
def served_index(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index in several shards that tests of the service read; none of them changes it."""
    from tests.tools.serving.serve_tools import served_documents

    root = tmp_path_factory.mktemp("served")
    corpus = write_jsonl(root / "corpus.jsonl", served_documents())
    build(
        corpus, root / "index", dense={"type": "ivf_pq", "nlist": 4, "tune_queries": 20}, chunk={"size": 96},
        index={"part_passages": 50, "shard_passages": 100},
    )  # fmt: skip
    return root / "index"


@pytest.fixture(scope="session")
def service(served_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`corpusmill serve` over it."""
    from tests.tools.serving.serve_tools import serving

    with serving(served_index, tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="session")
def guarded(served_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`corpusmill serve` over it with keys and a generator."""
    from tests.tools.serving.guarded_tools import guarding

    with guarding(served_index, tmp_path_factory.mktemp("guarded")) as running:
        yield running
