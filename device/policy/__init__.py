"""When to sync, over which link, and at what cost; and the reason whenever not."""
