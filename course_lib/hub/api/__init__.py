"""What the clients ask: metadata, contents, commits, uploads. One module a topic."""
