"""HTTP: routes and their schemas, who may ask, limits at the door, the playground."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
