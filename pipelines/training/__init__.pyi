from .export import SEEN as SEEN
from .settings import TrainConfig as TrainConfig
from .settings import load_train_config as load_train_config
from .train import Trained as Trained
from .train import mine as mine
from .train import train as train
