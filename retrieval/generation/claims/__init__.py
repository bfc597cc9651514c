"""Every sentence of a written answer is a claim: checked against what it cites, corrected, or marked."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
