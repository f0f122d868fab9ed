"""API keys, sessions, rate limits, the audit log and encryption of personal data."""
