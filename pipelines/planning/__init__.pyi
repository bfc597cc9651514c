from .plan import Plan as Plan
from .plan import make_plan as make_plan
from .plan import next_version as next_version
from .plan import record_plan as record_plan
from .plan import widen_metadata as widen_metadata
from .tuning_queries import draw_queries as draw_queries
