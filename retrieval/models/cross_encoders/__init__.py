"""Cross-encoders: a model reads a query and a passage together and gives one score."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
