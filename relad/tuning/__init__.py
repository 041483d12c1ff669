"""Search of methods' parameters, on validation subjects alone and of one effort for all."""
