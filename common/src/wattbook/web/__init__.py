"""The HTTP server of every service that strangers call, and its limits; needs uvicorn and httptools."""
