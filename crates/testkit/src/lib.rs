//! Development only: a virtual network in virtual time.
