"""Outgoing HTTP: recordings by address and webhooks, behind an address guard."""
