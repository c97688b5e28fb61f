"""The tracker of the product's own claims: each is as good as its evidence is today."""

from django.apps import AppConfig


class ProductizationConfig(AppConfig):
    name = "productization"
    verbose_name = "Productization"
