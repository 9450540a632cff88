"""Real Kafka, a real registry and a Java reader for tests; it knows nothing of the connector."""
