from .listening import LISTEN_HOST as LISTEN_HOST
from .listening import listen as listen
