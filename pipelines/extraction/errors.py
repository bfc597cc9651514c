"""What is wrong with a file, as its reject tells it."""


class BadData(Exception):
    """The file's bytes are not what they should be; the message is a reject's reason."""
