from .kind import GeneratorSettings as GeneratorSettings
from .kind import Kind as Kind
from .registry import KINDS as KINDS
