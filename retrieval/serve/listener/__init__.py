"""The service's own listener, for where no proxy of Ray's stands in front.

Who has no key takes nothing from those who have one: a request reaches the application when it has arrived
whole and its sender may ask it.
"""

from retrieval.serve.listener.listening import HOST, listen

__all__ = ["HOST", "listen"]
