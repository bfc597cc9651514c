from .asked import Measured as Measured
from .asked import Writer as Writer
from .command import evaluate_answers as evaluate_answers
from .command import print_answers as print_answers
from .measuring import Price as Price
