from .declared import declared as declared
from .entry_points import ENABLE as ENABLE
from .entry_points import all_plugin_names as all_plugin_names
from .entry_points import load_plugin as load_plugin
from .entry_points import plugin_names as plugin_names
from .registry import Registry as Registry
