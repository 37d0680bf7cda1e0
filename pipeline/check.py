"""check: refuses a wrong params.yaml before any other stage, each fault in a line, and remembers a right one.

    python -m pipeline.check

DVC itself stops at the first setting that it misses. What this stage writes never changes, so nothing else reruns.
"""

from acol.files import atomic_write
from pipeline import cli
from pipeline.params import load_params
from pipeline.places import CHECKED


@cli.main
def main() -> None:
    """Check params.yaml."""
    cli.no_arguments("Check params.yaml.")
    load_params()
    with atomic_write(CHECKED) as temporary:
        temporary.write_text("params.yaml is valid\n", encoding="utf-8")


if __name__ == "__main__":
    main()
