"""The command line `chopar NOUN VERB`. A noun's module is imported only when it is called."""
