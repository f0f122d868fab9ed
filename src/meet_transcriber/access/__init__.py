"""What this service reaches on other people's behalf: recordings by address, webhooks."""
