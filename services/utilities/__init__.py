"""The utility companies: answers about debts of objects, one register a company, from one code base."""
