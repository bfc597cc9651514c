"""The folder of an index, on a local disk or an object store, behind one object.

Every write is whole or absent: on a local disk a temporary file is flushed and renamed, on an object
store an object is put whole. `create` refuses to replace what exists, which leases and manifests need.
"""

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
from fsspec.implementations.local import LocalFileSystem

from retrieval.errors import ConfigError, IndexDamaged, StorageError
from retrieval.storage import atomic
from retrieval.storage.conditional import create_object, replace_object
from retrieval.storage.copies import REPAIR, copied, sha256_of
from retrieval.storage.errors import storage_errors
from retrieval.storage.index_marker import MARKER as MARKER
from retrieval.storage.keys import FileRecord, check_key
from retrieval.storage.schemes import check_scheme
from retrieval.storage.strict_json import MOST_JSON_BYTES, parse_json
from retrieval.storage.writes import LocalFolder, LocalWrite

TEMPORARY = "tmp"  # folder of unfinished local writes, inside the index: a rename must not cross disks
HASH_BLOCK = 1 << 20


class Store:
    """A folder whose keys are relative paths with forward slashes.

    `options` go to fsspec; they may hold secrets and are never written anywhere. Raises StorageError for a
    URL of another kind than `SCHEMES`.
    """

    def __init__(self, url: str, options: dict[str, Any] | None = None) -> None:
        self.url = url.rstrip("/") if len(url) > 1 else url
        self.options = options or {}
        try:
            check_scheme(url, "index")
        except ConfigError as error:
            raise StorageError(error.message, hint=error.hint) from error
        with storage_errors(url):
            self.fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False, **self.options)
        self.root = root.rstrip("/")
        self.is_local = isinstance(self.fs, LocalFileSystem)
        self._is_http = "http" in self.fs.protocol

    def __reduce__(self) -> tuple:
        # Workers have other working folders than the driver.
        return Store, (self.root if self.is_local else self.url, self.options)

    @property
    def endpoint(self) -> str:
        """The server of an object store, where it is not the usual one: one URL may name two indexes."""
        client = self.options.get("client_kwargs") or {}
        found = self.options.get("endpoint_url") or client.get("endpoint_url")
        own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return str(found or own or "")

    def path(self, key: str) -> str:
        """Path of `key` in the file system; an empty key is the folder itself.

        Raises IndexDamaged for a key that is no relative path, or leads out of a local index by a link.
        """
        if not key:
            return self.root
        check_key(key)
        if self._is_http:  # where `%2e%2e` would climb, and `?` end the path
            return f"{self.root}/{quote(key)}"
        path = f"{self.root}/{key}"
        if self.is_local:
            self._check_inside(path)
        return path

    def _check_inside(self, path: str) -> None:
        real, root = os.path.realpath(path), os.path.realpath(self.root)
        if real != root and not real.startswith(root.rstrip("/") + "/"):
            raise IndexDamaged(
                f"{path} leads out of the index, by a link",
                hint="Put the files themselves into the index: what a link names is never read or written.",
            )

    def read(self, key: str, most_bytes: int = MOST_JSON_BYTES, *, size: int | None = None) -> bytes:
        """Content of `key`, an object of ours; `size` as a listing told it, which saves asking.

        Raises FileNotFoundError, and IndexDamaged for what is larger or no file.
        """
        path = self.path(key)
        with storage_errors(self.url):
            if self.is_local and not stat.S_ISREG(os.stat(path).st_mode):  # opening a FIFO would wait
                raise IndexDamaged(f"{path} is not a file")
            if self.is_local or self._is_http:  # a server may send without end
                with self.fs.open(path, "rb") as file:
                    data: bytes = file.read(most_bytes + 1)
            else:
                found = self.fs.info(path)["size"] if size is None else size
                data = self.fs.cat_file(path) if found <= most_bytes else b""
                size = found
        if max(size or 0, len(data)) > most_bytes:
            raise IndexDamaged(f"{self.url}/{key} has more than {most_bytes:,} bytes")
        return data

    def read_json(self, key: str) -> Any | None:
        """Parsed JSON of `key`, None where there is none; raises IndexDamaged if it is not JSON."""
        data = self.read_or_none(key)
        return None if data is None else parse_json(data, f"{self.url}/{key}")

    def exists(self, key: str) -> bool:
        """Whether there is an object named `key`."""
        with storage_errors(self.url):
            return self.fs.exists(self.path(key))

    def find(self, prefix: str) -> dict[str, int]:
        """Keys below the folder `prefix` and their sizes in bytes."""
        path = self.path(prefix)
        if self.is_local:
            return dict(self._files(path))
        with storage_errors(self.url):
            found = self.fs.find(path, detail=True)
        start = len(self.root) + 1
        return {path[start:]: info["size"] or 0 for path, info in found.items()}

    def _files(self, folder: str) -> Iterator[tuple[str, int]]:
        """Of a local index, in folders that are no links: those may lead anywhere."""
        with storage_errors(self.url):
            for parent, _, names in os.walk(folder):
                for name in names:
                    path = os.path.join(parent, name)
                    with contextlib.suppress(FileNotFoundError):  # a builder removes what it is done with
                        yield os.path.relpath(path, self.root), os.lstat(path).st_size

    def put(self, key: str, data: bytes) -> FileRecord:
        """Write `data` as `key`, in place of what was there."""
        if self.is_local:
            with self.writing(key) as file:
                file.path.write_bytes(data)
        else:
            with storage_errors(self.url), self._no_bucket():
                self.fs.pipe_file(self.path(key), data)
        return FileRecord(key, len(data), hashlib.sha256(data).hexdigest())

    def put_json(self, key: str, value: Any) -> FileRecord:
        """Write `value` as JSON."""
        return self.put(key, json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "replace"))

    def create(self, key: str, data: bytes) -> bool:
        """Write `data` as `key` unless it exists; whether it was written. Atomic between processes."""
        with storage_errors(self.url):
            if self.is_local:
                with self._temporary() as temporary:
                    temporary.write_bytes(data)
                    return atomic.name_once(temporary, Path(self.path(key)))
            with self._no_bucket():
                return create_object(self.fs, self.url, self.path(key), data)

    def replace(self, key: str, known: bytes | None, data: bytes) -> bool:
        """Write `data` as `key` if its content is still `known` (None: there is none); whether it was.

        Atomic between processes, but for gs://. Raises IndexBusy where one that does the same is stalled.
        """
        if known is None:
            return self.create(key, data)
        with storage_errors(self.url):
            if not self.is_local:
                return replace_object(self.fs, self.path(key), known, data)
            with atomic.locked(Path(self.path(MARKER))):
                same = self.read_or_none(key) == known
                if same:
                    self.put(key, data)
                return same

    def read_or_none(self, key: str, most_bytes: int = MOST_JSON_BYTES) -> bytes | None:
        """Content of `key`, None where there is none. Raises IndexDamaged as `read`."""
        try:
            return self.read(key, most_bytes)
        except (FileNotFoundError, NotADirectoryError):
            return None

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[LocalWrite]:
        """A local path to write to; on leaving it becomes `key`, and `.record` is set."""
        with storage_errors(self.url), self._temporary() as temporary:
            write = LocalWrite(temporary)
            yield write
            write.record = FileRecord(key, temporary.stat().st_size, sha256_of(temporary))
            if self.is_local:
                atomic.replace(temporary, Path(self.path(key)))
            else:
                with self._no_bucket():
                    self.fs.put_file(str(temporary), self.path(key))

    @contextlib.contextmanager
    def writing_folder(self, key: str) -> Iterator[LocalFolder]:
        """A local folder to write files to; on leaving they become `key/<name>`, and `.records` is set."""
        with storage_errors(self.url), self._temporary() as temporary:
            temporary.mkdir()
            folder = LocalFolder(temporary)
            try:
                yield folder
                for path in sorted(temporary.iterdir()):
                    with self.writing(f"{key}/{path.name}") as write:
                        os.replace(path, write.path)
                    folder.records.append(write.done)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def local_folder(self, records: Sequence[FileRecord], folder: Path) -> Path:
        """A local folder that holds `records`, which are the files of one folder; see `local`."""
        if not records:
            raise IndexDamaged(f"{self.url} names no file where there has to be one", hint=REPAIR)
        paths = [self.local(record, folder) for record in records]
        return paths[0].parent

    def local(self, record: FileRecord, folder: Path) -> Path:
        """A local path of `record`: the file itself, or a checked copy in `folder`. Raises IndexDamaged."""
        if not self.is_local:
            return copied(self, record, folder)
        path = Path(self.path(record.key))
        if not path.is_file():
            raise IndexDamaged(f"{path} is missing", hint=REPAIR)
        return path

    def check(self, record: FileRecord) -> str | None:
        """What is wrong with a file, re-read in full; None if nothing is."""
        try:
            digest = hashlib.sha256()
            size = 0
            with storage_errors(self.url), self.fs.open(self.path(record.key), "rb") as file:
                while block := file.read(HASH_BLOCK):
                    digest.update(block)
                    size += len(block)
        except FileNotFoundError:
            return "missing"
        if size != record.bytes:
            return f"has {size} bytes instead of {record.bytes}"
        return None if digest.hexdigest() == record.sha256 else "its content differs from its checksum"

    def delete(self, keys: list[str]) -> None:
        """Remove objects; one that is gone already is no error. Of a link it is the link that goes."""
        for key in keys:
            with contextlib.suppress(FileNotFoundError), storage_errors(self.url):
                if not self.is_local:
                    self.fs.rm_file(self.path(key))
                    continue
                path = f"{self.root}/{check_key(key)}"
                self._check_inside(os.path.dirname(path))
                os.unlink(path)

    def free_bytes(self) -> int | None:
        """Free space of the disk below a local index; None where storage has no such limit."""
        if not self.is_local:
            return None
        folder = Path(self.root)
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free

    @contextlib.contextmanager
    def _no_bucket(self) -> Iterator[None]:
        """Writing to an object store can only miss the bucket."""
        try:
            yield
        except FileNotFoundError as error:
            raise StorageError(
                f"{self.url}: there is no such bucket", hint="Create it first, or check its name."
            ) from error

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        folder = Path(self.path(TEMPORARY)) if self.is_local else Path(tempfile.gettempdir())
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"corpusmill-{uuid.uuid4().hex}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
