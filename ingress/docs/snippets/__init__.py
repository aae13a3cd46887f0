"""Receivers of callbacks: each is shown on a page, and run by the tests."""
