"""What a person with a device in trouble looks at: everything that a sync needs, one by one."""
