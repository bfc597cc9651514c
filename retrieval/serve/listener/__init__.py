"""The service's own listener, for where no proxy of Ray's stands in front.

Who has no key takes nothing from those who have one: a request reaches the application when it has arrived
whole and its sender may ask it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
