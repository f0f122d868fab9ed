"""Interfaces of what the pipeline and the service need; adapters implement them."""
