"""`python -m audiolift.cli`."""

from audiolift.cli.main import run

run()
