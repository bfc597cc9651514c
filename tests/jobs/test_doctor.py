"""corpusmill doctor: it finds what is broken, says the fix, and leaves nothing behind."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from jobs.commands.doctor import Check, check_cluster, check_faiss, check_model, check_python, run_checks
from pipelines.config.build_settings import BuildConfig
from retrieval.settings import ModelSettings


def config(tmp_path: Path, **sections: dict) -> BuildConfig:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "a", "text": "words"}\n')
    values = {"corpus": {"paths": [str(corpus)]}, "index": {"path": str(tmp_path / "new" / "index")}}
    return BuildConfig.model_validate(values | sections)


def by_name(found: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in found}


def test_a_sound_machine_passes_quickly_and_nothing_is_left(tmp_path: Path) -> None:
    started = time.monotonic()
    found = run_checks(config(tmp_path))
    assert time.monotonic() - started < 15
    assert [check for check in found if check.ok is False] == []
    assert {"python", "ray", "faiss", "model (passage)", "device", "storage", "corpus"} <= set(by_name(found))
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.jsonl"]


def test_every_failure_says_its_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, where the index should be a folder")
    broken = config(
        tmp_path,
        corpus={"paths": [str(tmp_path / "missing.jsonl")]},
        index={"path": str(tmp_path / "file" / "index")},
        model={"name": "sentence-transformers/no-such-model"},
        ray={"address": f"127.0.0.1:{closed_port()}"},
    )
    failed = {check.name: check for check in run_checks(broken) if check.ok is False}
    assert set(failed) == {"model", "cluster", "storage", "corpus"}
    assert all(check.fix for check in failed.values())
    assert "missing.jsonl" in failed["corpus"].found


def test_two_faiss_distributions_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tmp_path / "faiss_gpu-1.15.1.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: faiss-gpu\nVersion: 1.15.1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (check,) = check_faiss()
    assert check.ok is False
    assert "pip uninstall -y faiss-cpu faiss-gpu" in check.fix


def test_an_old_python_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.version_info", (3, 10, 4, "final", 0))
    (check,) = check_python()
    assert (check.ok, check.found.split(",")[0]) == (False, "3.10.4")


def test_separate_query_models_are_both_checked() -> None:
    name = "all-MiniLM-L6-v2"
    found = list(check_model(ModelSettings(name=name, query_name=name)))
    assert [check.name for check in found] == ["model (passage)", "model (query)"]


def test_a_closed_port_is_no_cluster() -> None:
    (check,) = check_cluster(f"ray://127.0.0.1:{closed_port()}")
    assert check.ok is False
    assert "does not answer" in check.found


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict]:
    """fsspec options of an S3 server with the bucket `corpus`."""
    import s3fs

    environment = pytest.MonkeyPatch()
    environment.setenv("AWS_ACCESS_KEY_ID", "test")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    options = {"endpoint_url": f"http://{host}:{port}"}
    s3fs.S3FileSystem(**options).mkdir("corpus")
    yield options
    server.stop()
    environment.undo()


def test_object_storage_is_probed_and_left_as_it_was(tmp_path: Path, bucket: dict) -> None:
    import s3fs

    found = by_name(
        run_checks(config(tmp_path, index={"path": "s3://corpus/index", "storage_options": bucket}))
    )
    assert found["storage"].ok
    assert found["exclusive create"].ok
    assert found["clock"].ok
    assert s3fs.S3FileSystem(**bucket, use_listings_cache=False).find("corpus") == []


def test_a_missing_bucket_is_found(tmp_path: Path, bucket: dict) -> None:
    found = by_name(
        run_checks(config(tmp_path, index={"path": "s3://nowhere/index", "storage_options": bucket}))
    )
    assert found["storage"].ok is False
    assert found["storage"].fix


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
