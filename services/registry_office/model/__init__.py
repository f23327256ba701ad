"""Records and rules of the register of civil status acts; pure.

`names` and `days` say how names and dates are kept; `acts` what an act is; `book` what the register holds after each
act, adoptions and corrections included; `family` what follows from acts on a day; `answers` how that is said.
"""
