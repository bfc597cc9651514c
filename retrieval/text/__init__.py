"""Text without a model: sentences, graphemes, what looks the same, printable lines, event streams."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
