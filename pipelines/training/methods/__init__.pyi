from .bank import make_bank as make_bank
from .opening import open_method as open_method
from .rag import EndToEnd as EndToEnd
