"""The tax service: answers for the tax committee from its register of taxpayers and their debts."""
