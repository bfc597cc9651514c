"""The folder that a command is run from is no place for modules. Imports nothing that could lie there."""

import os
import sys


def leave_out() -> None:
    """Take that folder off the path of this process and of those that it starts.

    `python -m` puts it first, and an empty entry of PYTHONPATH means it too. It stays where PYTHONPATH names
    it. In a checkout that is not installed our packages are still found, after everything else.
    """
    named = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if "PYTHONPATH" in os.environ:
        os.environ["PYTHONPATH"] = os.pathsep.join(named)
        if not named:
            del os.environ["PYTHONPATH"]
    os.environ["PYTHONSAFEPATH"] = "1"
    here = os.path.realpath(os.curdir)
    if here not in map(os.path.realpath, named):
        # Behind the standard library it is there for another reason: it is site-packages itself.
        whole = [os.path.realpath(entry) for entry in sys.path]
        library = os.path.realpath(os.path.dirname(os.__file__))
        front = whole.index(library) if library in whole else len(whole)
        sys.path[:front] = [sys.path[place] for place in range(front) if whole[place] != here]
    from importlib.util import find_spec

    if find_spec("pipelines") is None:
        sys.path.append(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
