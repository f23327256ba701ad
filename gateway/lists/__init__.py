"""The lists that the gateway answers from: facts as they were collected, and the dated TOML made from them."""
