"""Text out of foreign files, in a process of its own with a limit of memory and of time.

`Extractor` is what readers use. The process imports this package and parsers, nothing else of ours.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
