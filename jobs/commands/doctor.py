"""Checks that this machine, and a configuration, are ready for a build; every failure says its fix.

Nothing is changed: what a check writes, it removes. All of it takes seconds.
"""

import contextlib
import importlib.metadata
import math
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from pipelines.config import BuildConfig
from pipelines.runtime import check_folder, object_store_bytes, temporary_folder
from retrieval.errors import ConfigError, CorpusmillError
from retrieval.settings import ModelSettings
from retrieval.storage import Store

PYTHON = (3, 11)
RAY_SERIES = "2.60."
OPEN_FILES = 8192
PROBE_SECONDS = 10.0
CLOCK_SECONDS = 60.0
# Passages, float16 vectors, codes and the copies being merged, in bytes for each byte of corpus text.
DISK_FACTOR = 4.0
COMPRESSED_FACTOR = 4.0  # text is about four times as large as its gzip or zstd file, or as Parquet


@dataclass(frozen=True)
class Check:
    """What was looked at and found. `ok` is None for a warning; `fix` is empty where nothing is wrong."""

    name: str
    ok: bool | None
    found: str
    fix: str = ""


def run_checks(config: BuildConfig | None = None) -> list[Check]:
    """All checks, in the order in which to repair; those of storage and corpus need a configuration."""
    found = [
        *_guarded("python", check_python),
        *_guarded("ray", check_ray),
        *_guarded("faiss", check_faiss),
        *_guarded("model", lambda: check_model(config.model if config else ModelSettings())),
        *_guarded("device", check_devices),
        *_guarded("shared memory", check_shared_memory),
        *_guarded("open files", check_open_files),
    ]
    address = (config.ray.address if config else None) or os.environ.get("RAY_ADDRESS")
    if address and address != "local":
        found += _guarded("cluster", lambda: check_cluster(address))
    if config:
        found += _guarded("storage", lambda: check_storage(config))
        found += _guarded("corpus", lambda: check_corpus(config))
    return [replace(check, fix="") if check.ok else check for check in found]


def _guarded(name: str, check: Callable[[], Iterator[Check]]) -> list[Check]:
    """The results of one check; what it raises becomes a failure with its hint."""
    try:
        return list(check())
    except CorpusmillError as error:
        return [Check(name, False, error.message, error.hint)]
    except (OSError, ImportError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()
        return [
            Check(name, False, f"{type(error).__name__}: {reason[0] if reason else ''}", "See the message.")
        ]


def check_python() -> Iterator[Check]:
    """Python's version."""
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, PYTHON))
    fix = f"Use Python {wanted} or later: make clean, then make install PYTHON=python{wanted}"
    yield Check("python", sys.version_info >= PYTHON, f"{version}, {sys.executable}", fix)


def check_ray() -> Iterator[Check]:
    """Ray's version, and that it can be imported with the parts that a build uses."""
    fix = f"pip install 'ray[data,default,serve]=={RAY_SERIES}*'"
    version = _version("ray")
    if version is None:
        yield Check("ray", False, "not installed", fix)
        return
    import ray.data

    yield Check(
        "ray", version.startswith(RAY_SERIES), f"{version}, {len(ray.data.__all__)} names in ray.data", fix
    )


def check_faiss() -> Iterator[Check]:
    """That exactly one FAISS is installed, and its version."""
    found = {
        name: version
        for name in ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cuvs")
        if (version := _version(name))
    }
    names = ", ".join(f"{name} {version}" for name, version in found.items())
    if len(found) > 1:
        fix = f"Keep one: pip uninstall -y {' '.join(found)}, then pip install 'corpusmill[cpu]' or [gpu]"
        yield Check("faiss", False, f"{names}: they overwrite each other's files", fix)
    elif not found or find_spec("faiss") is None:
        yield Check("faiss", False, "not installed", "pip install 'corpusmill[cpu]', or 'corpusmill[gpu]'")
    else:
        import faiss

        faiss.IndexFlatIP(4)  # loads the compiled part
        yield Check("faiss", True, f"{names}, {faiss.omp_get_max_threads()} threads")


def check_model(settings: ModelSettings) -> Iterator[Check]:
    """That the models are on this machine: a build then needs no network."""
    from pipelines.config import configured_trust
    from retrieval.models import resolve_model_side

    offline = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported
    try:
        for side in ("passage", "query") if settings.query_name else ("passage",):
            model = resolve_model_side(settings, side, configured_trust(settings))
            yield Check(f"model ({side})", True, f"{model.name} in {model.folder}")
    finally:
        if offline is None:
            del os.environ["HF_HUB_OFFLINE"]


def check_devices() -> Iterator[Check]:
    """GPUs that torch and FAISS can use, or else what the CPU offers."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if gpus:
        yield Check("device", True, f"{len(gpus)} x {gpus[0]}, torch {torch.__version__}")
        if _version("faiss-cpu"):
            fix = "pip uninstall -y faiss-cpu, then pip install 'corpusmill[gpu]'"
            yield Check("faiss on GPU", None, "faiss-cpu: training and adding run on the CPU", fix)
        return
    if Path("/proc/driver/nvidia/version").exists():
        fix = "Install a CUDA build of torch==2.13.0 that suits the driver (nvidia-smi names it)."
        yield Check("device", None, f"a GPU driver, but torch {torch.__version__} does not use it", fix)
    fast = sorted({"amx_bf16", "avx512_bf16"} & _cpu_flags())
    found = f"CPU, {os.cpu_count()} cores, {', '.join(fast) or 'no bfloat16 instructions: float32'}"
    yield Check("device", True, found)


def check_shared_memory() -> Iterator[Check]:
    """That /dev/shm holds Ray's object store; else Ray puts it on disk, which is many times slower."""
    shm = Path("/dev/shm")
    if not shm.is_dir():
        return
    need = object_store_bytes()
    free = shutil.disk_usage(shm).free
    fix = f"Start the container with --shm-size={math.ceil(need / 2**30)}g, or mount a larger /dev/shm."
    found = f"{_size(free)} free in /dev/shm, Ray's object store takes {_size(need)}"
    yield Check("shared memory", True if free >= need * 0.95 else None, found, fix)


def check_open_files() -> Iterator[Check]:
    """The limit of open files: Ray and the merge of many pieces need thousands."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = soft >= OPEN_FILES or soft == resource.RLIM_INFINITY
    fix = f"Before the build: ulimit -n {OPEN_FILES if hard < 0 else min(hard, 65536)}"
    yield Check("open files", True if enough else None, f"limit {soft:,}", fix)


def check_cluster(address: str) -> Iterator[Check]:
    """That the cluster's head answers, and lets us in."""
    host, _, port = address.rpartition("://")[2].partition(":")
    fix = "Start it (`ray up cluster.yaml`, or `ray start --head`), or change ray.address or RAY_ADDRESS."
    if address != "auto":
        try:
            socket.create_connection((host, int(port or 6379)), timeout=3).close()
        except (OSError, ValueError) as error:
            yield Check("cluster", False, f"{address} does not answer: {error}", fix)
            return
    if address.startswith(("ray://", "http")):
        yield Check("cluster", True, f"{address} accepts connections")
        return
    command = [sys.executable, "-P", "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        status = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        yield Check("cluster", False, f"{address} accepts connections, but Ray does not answer", fix)
        return
    if status.returncode:
        reason = [line for line in status.stderr.splitlines() if line.strip()]
        fix = "Set RAY_AUTH_MODE=token with the cluster's token in ~/.ray/auth_token; use its Ray version."
        yield Check("cluster", False, reason[-1] if reason else "`ray status` failed", fix)
    else:
        usage = [line.strip() for line in status.stdout.splitlines() if " CPU" in line or " GPU" in line]
        yield Check("cluster", True, f"{address}: {', '.join(usage) or 'no nodes with CPUs yet'}")


def check_storage(config: BuildConfig) -> Iterator[Check]:
    """That the index's place can be written, read and deleted, and refuses to create what exists."""
    store = Store(config.index.path, dict(config.index.storage_options))
    try:
        check_folder(store)
    except ConfigError as error:
        yield Check("index folder", False, error.message, error.hint)
        return
    made = _folders_to_make(store)
    key = f"tmp/doctor-{uuid.uuid4().hex}"
    content = uuid.uuid4().bytes
    started = time.monotonic()
    try:
        store.put(key, content)
        intact = store.read(key) == content
        exclusive = not store.create(key, b"another") and store.read(key) == content
        skew = None if store.is_local else time.time() - store.fs.modified(store.path(key)).timestamp()
    finally:
        store.delete([key])
        for folder in made:
            with contextlib.suppress(OSError):  # never made, or used by somebody else by now
                folder.rmdir()
    took = f"written, read and deleted in {time.monotonic() - started:.1f} s"
    found = f"{config.index.path}: {took}" if intact else "what was read is not what was written"
    yield Check("storage", intact, found, "Use other storage.")
    found = "refused to replace an object" if exclusive else "replaced an object: two builders could collide"
    fix = "Use storage with conditional writes (If-None-Match), such as S3, GCS or a local disk."
    yield Check("exclusive create", exclusive, found, fix)
    if skew is not None:
        fix = "Set this machine's clock (chrony or ntpd): storage refuses requests from a wrong one."
        yield Check(
            "clock", True if abs(skew) < CLOCK_SECONDS else None, f"{abs(skew):.0f} s from storage's", fix
        )


def check_corpus(config: BuildConfig) -> Iterator[Check]:
    """That the corpus is there, and that a local disk has room for its index."""
    from pipelines.sources.files import list_files

    files = list_files(config.corpus).files
    size = sum(max(0, file.size) for file in files)
    yield Check("corpus", True, f"files: {len(files):,}, {_size(size)}")
    text = sum(max(0, file.size) * (COMPRESSED_FACTOR if _compressed(file.url) else 1) for file in files)
    free = Store(config.index.path, dict(config.index.storage_options)).free_bytes()
    if free is not None:
        need = text * DISK_FACTOR
        fix = "Make space, or put the index on a larger disk or on object storage."
        found = f"{_size(free)} free, the build takes about {_size(need)}"
        yield Check("disk", True if free >= need else None, found, fix)
    spill = temporary_folder()
    usage = shutil.disk_usage(spill)
    fix = "Make space there (Ray stops its workers above 95 %), or name another folder: RAY_TMPDIR=/path"
    found = f"{_size(usage.free)} free in {spill}"
    yield Check("disk for spilling", usage.free > usage.total * 0.05, found, fix)


def _folders_to_make(store: Store) -> list[Path]:
    """Folders that a local write would leave behind, innermost first."""
    folder = Path(store.root) / "tmp" if store.is_local else None
    made = []
    while folder is not None and not folder.exists():
        made.append(folder)
        folder = folder.parent
    return made


def _compressed(url: str) -> bool:
    return url.lower().endswith((".gz", ".zst", ".zstd", ".bz2", ".parquet"))


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
