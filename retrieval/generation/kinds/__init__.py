"""Kinds of generators: a module each, which declares its settings and opens it. The registry finds them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
