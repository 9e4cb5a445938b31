//! SDP syntax and the offer/answer engine (RFC 8866, RFC 3264).
