"""The server: OpenAI's speech API and what belongs to it."""
