"""Plug-ins: things of one kind by name, ours and those of installed packages that the caller has enabled."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
