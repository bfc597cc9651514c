"""The stages of a build, one file each: what runs where, on what, and which marker ends it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
