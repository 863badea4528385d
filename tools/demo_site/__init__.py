"""A small Django site that shows DLQ at work; ``./tools/demo`` runs it."""
