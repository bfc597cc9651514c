"""Before a build works: what there is to read, in which order, and what is done already."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
