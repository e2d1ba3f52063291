"""The training recipe: its stages, each a command that resumes where it stopped; their tools.

Importing it without the packages of the extra `train` ends the program in one line.
"""

import sys
from importlib.util import find_spec

if find_spec("peft") is None:
    sys.exit("training needs more packages: pip install '.[train]' -c constraints.txt")
