"""The OpenAPI document: what every route takes and answers, written from the models by ``python -m ingress.openapi``."""
