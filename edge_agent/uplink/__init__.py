"""The way to the cloud: MQTT connection, records in flight, acknowledgements, backoff and rate limits."""
