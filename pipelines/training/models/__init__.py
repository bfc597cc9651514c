"""Models that are trained: loaded anew, run with gradients, and saved as others load them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
