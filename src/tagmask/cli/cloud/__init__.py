"""Commands and arguments that name places in object storage."""
