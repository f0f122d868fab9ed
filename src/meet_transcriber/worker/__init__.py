"""Worker processes: embedded, and Celery's."""
