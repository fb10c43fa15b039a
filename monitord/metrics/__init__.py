"""What is told to other tools as figures: Prometheus, node_exporter, OpenTelemetry."""
