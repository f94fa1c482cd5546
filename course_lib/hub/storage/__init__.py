"""What the Hub remembers: git-exact objects, durable blobs, a database, and one store over them."""
