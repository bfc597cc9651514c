"""An index that exists: verified against its manifest, and rid of what no version names."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
