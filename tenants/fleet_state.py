"""Where every tenant's schema stands: found by three statements, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tenants.catalogue.comparing import differences
from tenants.catalogue.shape import shapes
from tenants.migration_state import TEMPLATE, Names, Target, applied, have_migrations, names_in, target
from tenants.models import KnownShape, SchemaStanding, Tenant

_NAMED = 20
"""Of so many drifted schemas it is said what differs; comparing one takes a tenth of a second."""


@dataclass(frozen=True)
class SchemaView:
    """One schema: where it stands, why that is wrong, and at which migrations it is."""

    schema_name: str
    standing: SchemaStanding
    reason: str = ""
    state_key: str = ""
    migrations: int = 0


@dataclass(frozen=True)
class Fleet:
    """Every schema's standing, and the sets of migrations of which nobody knows what their schema looks like."""

    views: dict[str, SchemaView]
    unknown: dict[str, Names]

    def standing(self, *wanted: SchemaStanding) -> list[str]:
        """Names of those that stand so."""
        return [name for name, view in self.views.items() if view.standing in wanted]


def customer_schemas() -> list[str]:
    """Every tenant's schema, also those of suspended ones, by name."""
    return list(
        Tenant.objects.exclude(schema_name="public").order_by("schema_name").values_list("schema_name", flat=True)
    )


def survey(schema_names: Sequence[str]) -> Fleet:
    """Look at each of these schemas; reads only.

    A schema whose migrations are complete in themselves, but of a state of which no shape is known, counts as behind
    and its state as unknown: make its shape (``templates.learn_shape``) and look again.
    """
    now = target()
    there = have_migrations(schema_names)
    states = applied([name for name, recorded in there.items() if recorded])
    looks = shapes(list(states))
    known = dict(KnownShape.objects.values_list("state_key", "shape"))
    by_shape = {shape: key for key, shape in known.items()}
    names: dict[str, Names] = {}
    views: dict[str, SchemaView] = {}
    for name in schema_names:
        if name not in there:
            views[name] = SchemaView(name, SchemaStanding.MISSING, "There is no schema of this name.")
        elif name not in states:
            reason = "It has no record of its migrations."
            views[name] = SchemaView(name, SchemaStanding.HALF_MIGRATED, reason)
        else:
            key, count = states[name]
            if key not in names:
                names[key] = now.names if key == now.key else names_in(name)
            standing, reason = _judge(now, names[key], key, looks[name], known, by_shape)
            views[name] = SchemaView(name, standing, reason, key, count)
    unknown = {
        view.state_key: names[view.state_key]
        for view in views.values()
        if view.standing == SchemaStanding.BEHIND and view.state_key not in known
    }
    return Fleet(_with_differences(views, now), unknown)


def _judge(
    now: Target, names: Names, key: str, shape: str, known: dict[str, str], by_shape: dict[str, str]
) -> tuple[SchemaStanding, str]:
    if strangers := sorted(names - now.names):
        words = f"It has {len(strangers)} migrations that this code does not know, such as {strangers[-1]}."
        return SchemaStanding.AHEAD, words
    for name in sorted(names):
        if lacking := sorted(now.parents[name] - names):
            return SchemaStanding.HALF_MIGRATED, f"{name} is recorded without {lacking[0]}, which it needs."
    if key in known and shape != known[key]:
        if shape in by_shape:
            words = "Its tables are those of another state of the migrations than the one that it records."
            return SchemaStanding.HALF_MIGRATED, words
        return SchemaStanding.DRIFTED, "Its tables are not those that its migrations make."
    if key == now.key:
        return SchemaStanding.AT_TARGET, ""
    return SchemaStanding.BEHIND, f"{len(now.names - names)} migrations are to be applied."


def _with_differences(views: dict[str, SchemaView], now: Target) -> dict[str, SchemaView]:
    """Say of drifted schemas at the newest migration what differs, of the first ones."""
    drifted = [v for v in views.values() if v.standing == SchemaStanding.DRIFTED and v.state_key == now.key]
    for view in drifted[:_NAMED]:
        found = differences(view.schema_name, TEMPLATE)
        if found:
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            lines = "; ".join(" ".join(line.split())[:160] for line in found[:3])
            reason = f"It differs from what its migrations make: {lines}{more}."
            views[view.schema_name] = SchemaView(
                view.schema_name, view.standing, reason, view.state_key, view.migrations
            )
    return views
