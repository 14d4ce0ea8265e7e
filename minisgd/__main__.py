"""``python -m minisgd``: the same as the command ``minisgd``."""

from minisgd.cli import main

if __name__ == "__main__":
    main(prog_name="minisgd")
