"""Reference voices, aliases and what a request for a voice means."""
