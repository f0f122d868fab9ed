"""The HTTP API: an edge over the service."""
