"""What a repository says of itself: its card's metadata, its task, its splits."""
