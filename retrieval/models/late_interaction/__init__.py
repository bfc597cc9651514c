"""Late interaction (ColBERT): one vector for each token, and MaxSim over them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
