"""The embedded Kafka broker and the supervisor that keeps a local stack running."""
