from .declared import declared as declared
from .entry_points import ENABLE as ENABLE
from .entry_points import all_plugin_names as all_plugin_names
from .registry import Registry as Registry
