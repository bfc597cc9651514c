from .answers import first_answers as first_answers
from .answers import recall_at as recall_at
from .answers import token_sequence as token_sequence
from .dataset import Dataset as Dataset
from .dataset import Query as Query
from .dataset import read_beir as read_beir
from .dataset import read_questions as read_questions
