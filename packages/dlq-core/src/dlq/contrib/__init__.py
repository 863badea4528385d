"""Integrations that a site names to have them."""
