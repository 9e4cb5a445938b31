//! The actors that join protocol to product.
