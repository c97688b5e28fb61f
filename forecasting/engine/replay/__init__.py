"""Time-travel replay, pure: walk past days with the clock set to each, and see what the governance would have done.

Nothing here reads a clock, a database or a network; a folder is written only where the caller names one.
"""
