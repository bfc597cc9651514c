"""Running work on Ray: stages, their markers, the lease of an index, progress and usage."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
