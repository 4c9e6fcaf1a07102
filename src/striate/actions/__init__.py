"""Actions: what each command does, a file a command, a function of the same name, out of the rooms below."""
