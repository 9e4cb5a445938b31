//! The flight recorder: store, query, ladder, redaction and export of SIP traffic.
