"""The phone of the sandbox: a page that a person can use and an HTTP API for tests."""
