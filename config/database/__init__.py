"""Database backend: django-tenants' own, on an embedded PostgreSQL where no ``DATABASE_URL`` is given."""
