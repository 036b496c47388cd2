"""A bundled site that is slow on purpose, and a tour that shows what the cache makes of it."""
