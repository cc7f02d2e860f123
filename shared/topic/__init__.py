"""Events and outcomes as Kafka records, and their delivery."""
