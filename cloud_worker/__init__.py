"""The cloud worker: receives images, classifies them and publishes what it can say about them."""
