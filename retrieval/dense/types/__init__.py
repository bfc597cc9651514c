"""The types of dense index of this package, a file each, and what they share of FAISS."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
