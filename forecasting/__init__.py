"""Series, models, evaluation, promotion."""
