"""`python -m course_lib.hub serve …` is `course hub serve …`."""

import sys

from course_lib.cli import main

if __name__ == "__main__":
    sys.exit(main(["hub", *sys.argv[1:]]))
