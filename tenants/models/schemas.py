"""What is known of the tenants' schemas: the template that new ones are cloned from, and where each one stands."""

from __future__ import annotations

from django.db import models


class SchemaTemplate(models.Model):
    """How a new tenant's schema is made: read once from a schema that was really migrated, and used for every clone."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    state_key = models.CharField(max_length=64, blank=True, help_text="Digest of the migrations that it stands at.")
    migrations = models.PositiveIntegerField(default=0)
    ground = models.TextField(blank=True, help_text="Script of what the rows need: sequences, functions, tables.")
    top = models.TextField(blank=True, help_text="Script of what is put on them: indexes, keys, views, triggers.")
    rows = models.JSONField(default=dict, help_text="Rows and digest of each table that its migrations filled.")
    shape = models.CharField(max_length=60, blank=True)
    built_at = models.DateTimeField(null=True, blank=True)
    seconds = models.FloatField(default=0)
    problem = models.TextField(blank=True, help_text="Why new tenants are migrated instead; empty: they are cloned.")

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="tenants_one_template")]

    def __str__(self) -> str:
        return f"Template at {self.migrations} migrations"


class KnownShape(models.Model):
    """The shape of a schema at a state of its migrations: what others at that state are held against."""

    state_key = models.CharField(max_length=64, primary_key=True)
    migrations = models.JSONField(default=list)
    shape = models.CharField(max_length=60)
    recorded_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{len(self.migrations)} migrations: {self.shape}"


class SchemaStanding(models.TextChoices):
    AT_TARGET = "at_target", "At the newest migration"
    BEHIND = "behind", "Behind"
    AHEAD = "ahead", "Ahead of this code"
    MISSING = "missing", "Missing"
    HALF_MIGRATED = "half_migrated", "Half migrated"
    DRIFTED = "drifted", "Drifted"


class SchemaMade(models.TextChoices):
    CLONE = "clone", "Cloned from the template"
    MIGRATION = "migration", "Migrated"
    RESTORE = "restore", "Restored from a backup"


class SchemaState(models.Model):
    """One row a tenant: how its schema was made and where it stood when it was last looked at."""

    schema_name = models.CharField(max_length=63, primary_key=True)
    standing = models.CharField(max_length=14, choices=SchemaStanding, default=SchemaStanding.AT_TARGET)
    reason = models.TextField(blank=True, help_text="What is wrong with it, in words.")
    state_key = models.CharField(max_length=64, blank=True)
    migrations = models.PositiveIntegerField(default=0)
    made = models.CharField(max_length=10, choices=SchemaMade, blank=True)
    made_reason = models.TextField(blank=True, help_text="Why it was not cloned.")
    checked_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["schema_name"]
        verbose_name = "schema"

    def __str__(self) -> str:
        return f"{self.schema_name}: {self.get_standing_display()}"
