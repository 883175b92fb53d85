"""docwell: drop PDFs into an S3 bucket, ask questions over HTTPS, get an answer that cites the page."""
