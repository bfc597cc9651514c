from .endpoint import OpenAIGenerator as OpenAIGenerator
from .generator import Generator as Generator
from .generator import open_generator as open_generator
from .local import LocalGenerator as LocalGenerator
