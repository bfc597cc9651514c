"""`python -m jobs` is `corpusmill`: what a Ray job runs, where no script is installed."""

from jobs.own_folder import leave_out


def main() -> None:
    """The command line, with nothing imported from the folder that it is run from."""
    leave_out()
    from jobs.cli import main

    main()


if __name__ == "__main__":
    main()
