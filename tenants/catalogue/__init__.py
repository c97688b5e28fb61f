"""What PostgreSQL's own catalogue says of a tenant's schema: how to draw it again, whether it is as it should be."""
