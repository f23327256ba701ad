"""The bus: a port, its two implementations (Kafka and memory), and the one consume loop that runs on both."""
