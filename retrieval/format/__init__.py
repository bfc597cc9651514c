"""What lies on disk: manifest, parts, passages, vectors, checked headers. One reader, one writer."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
