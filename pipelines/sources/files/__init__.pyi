from .input_file import InputFile as InputFile
from .left_out import describe_left_out as describe_left_out
from .left_out import describe_rejects as describe_rejects
from .listing import Listing as Listing
from .listing import list_files as list_files
from .streams import open_blocks as open_blocks
from .streams import open_source as open_source
from .streams import read_whole as read_whole
