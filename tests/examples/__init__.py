"""The examples, tried: the mini program under Node, and the back ends with their own interpreters."""
