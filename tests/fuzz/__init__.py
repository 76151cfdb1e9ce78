"""Random campaigns against the library; see README.md beside this file."""
