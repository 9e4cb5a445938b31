//! Speech codecs behind one face: G.711, Opus, and concealment.
