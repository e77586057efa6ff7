"""Paints the picture that a prompt names, where no picture was given: words, scenery, layers, pixels."""
