//! SIP syntax: URIs, headers, messages, stream framing and limits.
