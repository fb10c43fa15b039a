"""`python -m monitord` is `monitord`."""

from monitord.cli import main

if __name__ == "__main__":
    main()
