"""The command line: `chopar NOUN VERB`."""
