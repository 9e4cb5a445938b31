//! What a click or a key asks for.
