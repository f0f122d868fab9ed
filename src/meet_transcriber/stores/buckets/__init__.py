"""A MediaStore on object storage: S3, Google Cloud Storage and Azure Blob Storage."""
