"""Incidents really caused on a demo tenant, found by the system's own watch, mended by the runbook, verified."""
