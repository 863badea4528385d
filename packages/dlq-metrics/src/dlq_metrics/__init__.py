"""Metrics of DLQ: what runners and stores do, for Prometheus and for people."""
