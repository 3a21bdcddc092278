"""What `pfilter check` looks at: all that mail will need, a module each."""
