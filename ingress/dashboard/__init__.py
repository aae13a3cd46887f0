"""
The operators' pages, at /dashboard where DASHBOARD_ENABLED says so.

A Flask app of their own beside the API's: with sessions, hooks and templates that no other route pays for.
"""
