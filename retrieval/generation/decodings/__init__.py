"""Ways from passages to an answer: over several passages at once, and with searches on the way."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
