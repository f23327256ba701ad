"""The nouns that the gateway brings to the command line, a file each."""
