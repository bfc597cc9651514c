"""Mutations of the files of an index, signed as whoever made them would, and a process that reads them."""

import hashlib
import json
import select
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 5  # of CPU time that a reader may take
MEGABYTES = 512  # that it may need beside what it had
PATIENCE = 120  # seconds after which a reader hangs
HEADERS = ("shard.json", "quantizer.json", "codec.json", "postings.json", "statistics.json")
MARK = "@@here@@"
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2, 2**31 - 1, 2**31, 2**53 + 1, 2**63, 10**30, -(2**63), 1.5, -0.5, 1e308,
    "", "1", "²", "\0", "../x", "a\nb", "x" * 5000, [], {}, [[]], {"a": 1}, [None], [0] * 50, ["a"],
]  # fmt: skip
RAW = [
    "NaN", "-Infinity", "1e999", "9" * 5000, "[" * 5000 + "]" * 5000, '{"a":' * 300 + "1" + "}" * 300,
    '"\\ud800"', '"\udcff"', "tru", "", "01", "²", "[1,]", '{"a":1,"a":2}', "-", '"\\x"', "\ufeff1", '"\x01"',
    "/**/1", "[" * 100_000,
]  # fmt: skip
Path_ = tuple[Any, ...]


def paths(value: Any, here: Path_ = ()) -> Iterator[Path_]:
    """Places of all values in parsed JSON."""
    yield here
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield from paths(below, (*here, key))


def changed(value: Any, place: Path_, new: Any) -> Any:
    """A copy with another value at this place; Ellipsis takes it away."""
    if not place:
        return {} if new is ... else new
    copy = value.copy()
    if len(place) > 1:
        copy[place[0]] = changed(value[place[0]], place[1:], new)
    elif new is ...:
        del copy[place[0]]
    else:
        copy[place[0]] = new
    return copy


def json_mutations(value: Any) -> st.SearchStrategy[bytes]:
    """Texts that are nearly the JSON of a value: other values, none, keys twice, and what is no JSON."""
    places = st.sampled_from(list(paths(value)))

    def text(place: Path_, raw: str) -> bytes:
        written = json.dumps(changed(value, place, MARK), indent=1)
        return written.replace(f'"{MARK}"', raw).encode("utf-8", "surrogateescape")

    def twice(place: Path_, new: Any) -> bytes:
        if not place or not isinstance(place[-1], str):
            return text(place, "[[[]]]")
        written = json.dumps(changed(value, (*place[:-1], MARK), 0), indent=1)
        return written.replace(f'"{MARK}": 0', f"{json.dumps(place[-1])}: {json.dumps(new)}").encode()

    odd = st.sampled_from(ODD)
    return st.one_of(
        st.builds(lambda place, new: json.dumps(changed(value, place, new)).encode(), places, odd),
        st.builds(lambda place, new: json.dumps(changed(value, place, new)).encode(), places, odd),
        st.builds(lambda place: json.dumps(changed(value, place, ...)).encode(), places),
        st.builds(text, places, st.sampled_from(RAW)),
        st.builds(twice, places, odd),
    )


def byte_mutations(data: bytes) -> st.SearchStrategy[bytes]:
    """Bytes that are nearly these: most changes where a file says what it holds, at its ends."""
    size = len(data)
    end = st.integers(0, min(size, 300))
    places = st.one_of(end, end.map(lambda back: size - back), st.integers(0, size))
    number = st.sampled_from(
        [0, 1, 0x7F, 0xFF, 2**15, 2**31 - 1, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1]
    )

    def written(at: int, new: bytes) -> bytes:
        return data[:at] + new + data[at + len(new) :]

    def flipped(at: int, bit: int) -> bytes:
        return written(at, bytes([data[at] ^ 1 << bit])) if at < size else data

    wide = st.tuples(number, st.sampled_from([1, 2, 4, 8]))
    new = wide.map(lambda pair: pair[0].to_bytes(8, "little")[: pair[1]])
    return st.one_of(
        st.builds(flipped, places, st.integers(0, 7)),
        st.builds(written, places, new),
        st.builds(lambda at: data[:at], places),
        st.builds(lambda at, new: data[:at] + new + data[at:], places, st.binary(min_size=1, max_size=64)),
        st.builds(lambda at, length: data[:at] + data[at + length :], places, st.integers(1, 200)),
        st.builds(lambda new: data + new, st.binary(min_size=1, max_size=64)),
        st.builds(written, places, st.binary(min_size=1, max_size=64)),
        st.just(b""),
        st.just(data * 2),
    )  # fmt: skip


def mutations(name: str, data: bytes) -> st.SearchStrategy[bytes]:
    """Of a file, by what it holds."""
    if name.endswith(".json"):
        return st.one_of(
            json_mutations(json.loads(data)), json_mutations(json.loads(data)), byte_mutations(data)
        )
    return byte_mutations(data)


def attack(examples: int, strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Run a property, the same examples each time."""
    limits = settings(
        max_examples=examples, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate,),
    )  # fmt: skip

    def one(drawn: Any) -> None:
        check(drawn)

    limits(given(strategy)(one))()


class HostileIndex:
    """An index whose files are changed one at a time, and put back."""

    def __init__(self, root: Path) -> None:
        self.root = root
        keys = (str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
        self.whole = {key: (root / key).read_bytes() for key in sorted(keys)}
        self.manifest = max((key for key in self.whole if key.startswith("versions/")), default="")

    def put(self, key: str, data: bytes, *, sign: bool) -> None:
        """Change a file; `sign`: and every checksum that covers it, as who made it would."""
        changed = {key: data}
        name = key.rpartition("/")[2]
        if sign and key == self.manifest:
            changed[key] = _signed(data, _sha256, "sha256")
        elif sign:
            if name in HEADERS:
                changed[key] = _signed(data, _crc32, "crc32")
            else:
                changed |= self._header(key, data)
            if self.manifest:
                changed[self.manifest] = self._listed(changed)
        for changed_key, content in changed.items():
            (self.root / changed_key).write_bytes(content)
        self._changed = set(changed)

    def restore(self) -> None:
        """Put back what was changed last."""
        for key in self._changed:
            (self.root / key).write_bytes(self.whole[key])

    def _header(self, key: str, data: bytes) -> dict[str, bytes]:
        """The header beside a file with that file's new size and checksum."""
        folder, _, name = key.rpartition("/")
        for header in (f"{folder}/{header}" for header in HEADERS):
            if header not in self.whole:
                continue
            value = json.loads(self.whole[header])
            record = {"bytes": len(data), "crc32": zlib.crc32(data)}
            if name in value.get("files", {}):
                value["files"][name] = record
            for prefix in ("sizes", "graph"):
                if name.startswith(f"{prefix}."):
                    value |= {f"{prefix}_{what}": number for what, number in record.items()}
            return {header: _signed(json.dumps(value).encode(), _crc32, "crc32")}
        return {}

    def _listed(self, changed: dict[str, bytes]) -> bytes:
        value = json.loads(self.whole[self.manifest])

        def walk(here: Any) -> None:
            if isinstance(here, dict) and here.get("key") in changed and "sha256" in here:
                data = changed[here["key"]]
                here |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for below in here.values() if isinstance(here, dict) else here if isinstance(here, list) else ():
                walk(below)

        walk(value)
        return _signed(json.dumps(value).encode(), _sha256, "sha256")


def _signed(data: bytes, digest: Callable[[Any], Any], name: str) -> bytes:
    """JSON with its own checksum made right, where it is JSON at all; its spelling stays."""
    try:
        value = json.loads(data)
        old = json.dumps(value.pop(name))
        new = json.dumps(digest(value))
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return data
    return data.replace(f'"{name}": {old}'.encode(), f'"{name}": {new}'.encode(), 1)


def _crc32(value: Any) -> int:
    return zlib.crc32(json.dumps(value, sort_keys=True).encode())


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Worker:
    """A process that reads what it is told to; when it dies, that is told, and the next one is started."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, reader: str, *arguments: Any) -> dict[str, Any]:
        """What came of reading: `told` is answered, refused, foreign (another error), crashed or hangs."""
        if self._process is None:
            command = [sys.executable, "-m", "tests.tools.hostile.hostile_worker"]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                cwd=ROOT,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([reader, *arguments]) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            told = "crashed" if ready else "hangs"
            self.stop()
            return {"told": told, "seconds": 0.0, "megabytes": 0.0, "why": told}
        found: dict[str, Any] = json.loads(line)
        return found

    def check(self, what: str, reader: str, *arguments: Any) -> str:
        """Read, and fail unless it was answered or refused, in bounded time and memory."""
        found = self.ask(reader, *arguments)
        assert found["told"] in ("answered", "refused"), f"{what}: {found['told']}: {found['why']}"
        assert found["seconds"] <= SECONDS, f"{what}: {found['seconds']} s: {found['why']}"
        assert found["megabytes"] <= MEGABYTES, f"{what}: {found['megabytes']} MB: {found['why']}"
        told: str = found["told"]
        return told

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
