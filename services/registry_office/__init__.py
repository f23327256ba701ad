"""The registry office: answers from the register of civil status acts."""
