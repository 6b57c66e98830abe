"""Trends: metrics that head for a limit, with the time to impact."""
