"""List the commands of the Makefile in the learner's language (make help).

python3 -m course.commands
"""

import re
from pathlib import Path

from course.language import _

MAKEFILE = Path(__file__).parent.parent / "Makefile"


def commands():
    """Return the targets of the Makefile, and what each one does in English: a list of pairs."""
    return re.findall(r"^([a-z-]+):.*?## (.+)$", MAKEFILE.read_text("utf-8"), re.MULTILINE)


def main():
    """Show a line for each command."""
    for name, text in commands():
        print(f"make {name:16} {_(text)}")


if __name__ == "__main__":
    main()
