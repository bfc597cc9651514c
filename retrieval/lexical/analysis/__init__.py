"""How text becomes terms: words by their script, scripts without spaces, codes, stems and stop words."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
