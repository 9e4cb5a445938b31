//! The built-in registrar, proxy and test numbers.
