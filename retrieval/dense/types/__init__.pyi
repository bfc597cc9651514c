from .faiss_files import is_moderate as is_moderate
from .gpu import gpu_count as gpu_count
