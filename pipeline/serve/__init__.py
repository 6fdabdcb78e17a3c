"""The HTTP API and its page; the home of fastapi and uvicorn."""
