from .endpoint import OpenAIGenerator as OpenAIGenerator
from .generator import Generator as Generator
from .local import LocalGenerator as LocalGenerator
from .local_model import model_folder as model_folder
