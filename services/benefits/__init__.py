"""The benefits service: answers for the social protection agency about the social register and assigned benefits."""
