"""Making a dense index: choose, train, add, merge, tune. Functions of paths and arrays, no Ray."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
