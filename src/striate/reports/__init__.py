"""Pages for people: one file each, that opens anywhere and asks for nothing from a network."""
