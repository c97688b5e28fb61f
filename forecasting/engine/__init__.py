"""The forecasting engine: frames and dataclasses in, frames and dataclasses out.

Pure: no Django, no database, no clock, no global state; files only in a directory handed in. Everything is a function
of its inputs and of the seed in the spec, so that a replay makes the same bytes. Heavy libraries are imported when
first used.
"""
