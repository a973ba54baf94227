"""irdim-edge, also as python -m irdim_edge."""

from irdim.command_line import start


def main() -> None:
    """Entry point of irdim-edge."""
    start("irdim_edge.cli")


if __name__ == "__main__":
    main()
