from .generator import TrainedGenerator as TrainedGenerator
from .late import LateEncoder as LateEncoder
from .tower import Tower as Tower
