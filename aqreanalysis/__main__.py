"""``python -m aqreanalysis``: the command line, where its script is not on the path."""

from aqreanalysis.cli import main

if __name__ == "__main__":
    main()
