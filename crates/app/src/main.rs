//! The binary `tipring`.
fn main() {}
