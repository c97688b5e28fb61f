"""The project as an app: commands that span every other app."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "config"
    verbose_name = "Project"

    def ready(self) -> None:
        from config.simulation import jobs  # noqa: F401  # registers the kinds of jobs and the scenarios
