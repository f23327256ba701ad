"""The library of Chopar: what an agency system imports to ask for documents and to answer for them."""
