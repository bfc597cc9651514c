"""What is wrong with a file, as its reject tells it."""


class BadData(Exception):
    """The file's bytes are not what they should be; the message is a reject's reason."""


# How far compressed data may grow: no text grows more, and a bomb costs in proportion to its size.
MAX_EXPANSION = 1000
EXPANSION_SLACK = 16 << 20  # bytes beside it, for small files
