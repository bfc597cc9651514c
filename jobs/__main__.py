"""`python -m jobs` is `corpusmill`: what a Ray job runs, where no script is installed."""

from jobs.cli import main

main()
