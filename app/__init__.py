"""The web application. It imports no torch, ever."""
