"""irdim-export, also as python -m irdim_export."""

from irdim.command_line import start


def main() -> None:
    """Entry point of irdim-export."""
    start("irdim_export.cli")


if __name__ == "__main__":
    main()
