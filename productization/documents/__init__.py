"""The documents that are made by one command: each is a function of what is declared and what was recorded."""
