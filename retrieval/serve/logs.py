"""The service's log. What is in its messages may come from an index, a request or a generator."""

import logging

from retrieval.text import printable_line

_format = logging.Formatter()


class _Harmless(logging.Filter):
    """A message is one printable line, and those of a traceback are indented: none can be forged."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = printable_line(record.getMessage()), ()
        if record.exc_info and record.exc_info[0]:
            told = _format.formatException(record.exc_info)
            record.exc_text = "\n".join(f"  {printable_line(one)}" for one in told.splitlines())
        return True


log = logging.getLogger("ray.serve.corpusmill")  # Ray Serve's handlers write it
log.addFilter(_Harmless())
