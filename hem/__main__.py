"""`python -m hem`."""

from hem.cli import main

if __name__ == "__main__":
    main()
