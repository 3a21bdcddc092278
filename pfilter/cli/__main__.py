"""`python -m pfilter.cli`."""

from pfilter.cli import main

main()
