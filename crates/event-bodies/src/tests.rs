//! Bodies from the RFCs, from the field, and from people who mean no good.

mod bodies;
mod hostile;
