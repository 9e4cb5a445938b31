//! Sans-IO RTP and RTCP, the jitter buffer and telephone events.
