"""Outgoing HTTP: downloads of recordings and webhooks, behind an address guard."""
