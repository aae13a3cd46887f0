"""The OpenAPI document: what each route takes and answers. ``python -m ingress.openapi`` writes it from the models."""
