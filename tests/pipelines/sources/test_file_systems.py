"""Object storage: a real S3 server on loopback, and failures that are told from bad data."""

from pathlib import Path

import boto3
import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from moto.server import ThreadedMotoServer

from pipelines.config.corpus_settings import CorpusSettings
from pipelines.sources.files.listing import list_files
from pipelines.sources.slice_reader import read_slice
from pipelines.sources.slices import cut_slices
from retrieval.errors import InputError, StorageError
from tests.tools.samples.source_samples import COMPRESS, ROWS, jsonl, parquet, read_all


@pytest.fixture(scope="module")
def s3():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as env:
        env.setenv("AWS_ACCESS_KEY_ID", "test")
        env.setenv("AWS_SECRET_ACCESS_KEY", "test")
        env.setenv("AWS_DEFAULT_REGION", "us-east-1")
        url = "http://{}:{}".format(*server.get_host_and_port())
        client = boto3.client("s3", endpoint_url=url)
        client.create_bucket(Bucket="corpus")
        yield client, {"endpoint_url": url}
    server.stop()


def test_formats_from_s3(s3, tmp_path):
    client, options = s3
    rows = [{**row, "text": row["text"] * 2000} for row in ROWS]
    objects = {
        "wiki/a.jsonl": jsonl(rows),
        "wiki/b/c.parquet": parquet(tmp_path / "c.parquet", rows, row_group_size=4).read_bytes(),
        "wiki/d.jsonl.zst": COMPRESS[".zst"](jsonl(rows)),
        "wiki/e.txt": b"text",
        "wiki/.hidden.txt": b"text",
        "wiki/folder/": b"",
    }
    for key, data in objects.items():
        client.put_object(Bucket="corpus", Key=key, Body=data)
    documents, rejects = read_all("s3://corpus/wiki", storage_options=options, slice_bytes=100_000)
    assert rejects == []
    expected = [(row["id"], row["text"]) for row in rows]
    assert [(d.doc_id, d.text) for d in documents] == [*expected, *expected, *expected, ("e.txt", "text")]
    assert len(read_all("s3://corpus/*/*.jsonl*", storage_options=options)[0]) == 20
    with pytest.raises(InputError, match="does not exist") as caught:
        read_all("s3://corpus/wikis", storage_options=options)
    assert caught.match("Nearest in corpus: wiki")


def test_an_object_that_changed_is_a_storage_error(s3):
    client, options = s3
    client.put_object(Bucket="corpus", Key="one.jsonl", Body=jsonl(ROWS))
    corpus = CorpusSettings(paths="s3://corpus/one.jsonl", storage_options=options)
    (slice,) = cut_slices(list_files(corpus).files, 10**6, options)
    assert slice.files[0].version in client.head_object(Bucket="corpus", Key="one.jsonl")["ETag"]
    client.put_object(Bucket="corpus", Key="one.jsonl", Body=jsonl(ROWS[::-1]))
    with pytest.raises(StorageError, match="has changed"):
        list(read_slice(slice, corpus, {}))


def test_an_unreachable_server_is_a_storage_error(s3):
    options = {"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"max_attempts": 1}}}
    with pytest.raises(StorageError, match="cannot read s3://corpus"):
        read_all("s3://corpus/wiki", storage_options=options)


class _Failing(MemoryFile):
    """A file whose storage fails on the second read."""

    reads = 0

    def read(self, size=-1):
        _Failing.reads += 1
        if _Failing.reads > 1:
            raise OSError("connection reset")
        return super().read(size)


class _FailingFileSystem(MemoryFileSystem):
    protocol = "failing"

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("failing://"))

    def _open(self, path, mode="rb", **kwargs):
        if mode == "rb":
            return _Failing(self, path, self.store[path].getvalue())
        return super()._open(path, mode, **kwargs)


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.csv", "a.jsonl.gz", "a.jsonl.bz2", "a.txt"])
def test_a_read_that_fails_is_never_a_reject(tmp_path, name):
    fsspec.register_implementation("failing", _FailingFileSystem, clobber=True)
    rows = [{"id": f"{i}", "text": f"{i * 7919 % 10007:x}" * 400} for i in range(1500)]
    plain = b"text\n" + b"".join(row["text"].encode() + b"\n" for row in rows)
    if name == "a.parquet":
        data = parquet(tmp_path / name, rows, compression="none").read_bytes()
    else:
        data = COMPRESS[Path(name).suffix if name.count(".") > 1 else ""](
            plain if name in ("a.csv", "a.txt") else jsonl(rows)
        )
    fs = fsspec.filesystem("failing")
    fs.pipe(f"/failing-test/{name}", data)
    corpus = CorpusSettings(paths=f"failing://failing-test/{name}", metadata="none")
    _Failing.reads = -100
    (slice,) = cut_slices(list_files(corpus).files, 10**9, {})
    _Failing.reads = 0
    with pytest.raises(StorageError, match="connection reset"):
        list(read_slice(slice, corpus, {}))


def test_an_index_on_s3_is_no_corpus(s3):
    client, options = s3
    marker = b'{"what": "corpusmill index"}'
    for key, data in {
        "a.txt": b"text",
        "ix/parts/b.jsonl": jsonl(ROWS),
        "ix/corpusmill.json": marker,
    }.items():
        client.put_object(Bucket="corpus", Key=f"own/{key}", Body=data)
    for path in ("s3://corpus/own", "s3://corpus/own/**"):
        listing = list_files(CorpusSettings(paths=path, storage_options=options))
        assert [file.name for file in listing.files] == ["a.txt"]
        assert listing.left_out["index of corpusmill"] == 1
    for path in ("ix", "ix/parts", "ix/parts/b.jsonl", "ix/*/*.jsonl"):
        with pytest.raises(InputError, match="an index of corpusmill, corpus/own/ix"):
            list_files(CorpusSettings(paths=f"s3://corpus/own/{path}", storage_options=options))
