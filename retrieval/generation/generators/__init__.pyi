from .endpoint import OpenAIGenerator as OpenAIGenerator
from .generator import Generator as Generator
from .local import LocalGenerator as LocalGenerator
