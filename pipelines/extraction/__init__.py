"""Text out of foreign files, in a process of its own with a limit of memory and of time.

`Extractor` is what readers use. The process imports this package and parsers, nothing else of ours.
"""

from pipelines.extraction.errors import BadData
from pipelines.extraction.process import Extractor, Limits, extractor

__all__ = ["BadData", "Extractor", "Limits", "extractor"]
