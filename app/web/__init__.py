"""What speaks HTTP for everyone: templating, login session, CSRF, headers, error pages."""
