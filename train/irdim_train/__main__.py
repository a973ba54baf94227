"""irdim-train, also as python -m irdim_train."""

from irdim.command_line import start


def main() -> None:
    """Entry point of irdim-train."""
    start("irdim_train.cli")


if __name__ == "__main__":
    main()
