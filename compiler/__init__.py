"""Model file in, bundle of native code out."""
