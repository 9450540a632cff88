"""How fast the connector is, measured on real Kafka on this machine: `make bench`. docs/performance.md explains it."""
