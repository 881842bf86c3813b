"""A trained run as an HTTP server: a photograph is sent, its mask comes back."""
