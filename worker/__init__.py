"""The trainer. It imports app, never the other way round."""
