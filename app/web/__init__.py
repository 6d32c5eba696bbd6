"""Templating, login session, CSRF, security headers, error pages: all that speaks HTTP for everyone."""
