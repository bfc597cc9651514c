from .configuration import read_settings as read_settings
from .settings import Autoscaling as Autoscaling
from .settings import ServeSettings as ServeSettings
