"""Models: where one lies, whether it may be loaded, which files decide what it computes, its copies."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
