"""WhatsApp Web in a browser of the runner's own, driven through wa-js."""
