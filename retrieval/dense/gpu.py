"""Where FAISS trains and assigns: all GPUs where the build of FAISS has them, else the CPU."""

import faiss


def gpu_count() -> int:
    """GPUs that FAISS can use; 0 with `faiss-cpu`."""
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def flat_index(dimension: int, metric: int) -> "faiss.Index":
    """An empty exact index on all GPUs, its vectors split between them, or on the CPU."""
    index = faiss.IndexFlat(dimension, metric)
    return on_gpus(index) if gpu_count() else index


def on_gpus(index: "faiss.Index") -> "faiss.Index":
    """A copy on all GPUs: queries are split between them, each has all vectors."""
    return faiss.index_cpu_to_all_gpus(index)
