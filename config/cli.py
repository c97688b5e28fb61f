"""Runs a management command and turns foreseeable failures into one line and an exit status."""

from __future__ import annotations

import sys


def run(argv: list[str]) -> int:
    """Run ``argv`` as Django would.

    Returns the exit status: 0 done, 1 the data or a gate said no, 2 wrong usage or a missing precondition
    (database down, unreadable setting).
    """
    import psycopg
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db.utils import OperationalError, ProgrammingError

    from config.conf import ConfigurationError
    from config.database.embedded import EmbeddedServerFailed

    try:
        execute_from_command_line(argv)
    except (ConfigurationError, ImproperlyConfigured) as error:
        sys.stderr.write(f"Configuration: {error}\n")
        return 2
    except EmbeddedServerFailed as error:
        sys.stderr.write(f"Database: {error}\n")
        return 2
    except ProgrammingError as error:
        if "does not exist" not in str(error):
            raise
        first = str(error).strip().splitlines()[0]
        sys.stderr.write(
            f"Database: {first} - run `manage.py release` (or make demo). What was under way was not written.\n"
        )
        return 2
    except (OperationalError, psycopg.OperationalError) as error:
        first = str(error).strip().splitlines()[0]
        sys.stderr.write(
            f"Database: {first} - check DATABASE_URL, or unset it for the embedded PostgreSQL. "
            "What was under way was not written.\n"
        )
        return 2
    return 0
