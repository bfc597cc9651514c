"""What a build was told: its configuration file, checked, and what its stages take from it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
