from .bank import make_bank as make_bank
from .opening import device_of as device_of
from .opening import open_method as open_method
