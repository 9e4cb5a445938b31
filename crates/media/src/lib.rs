//! A media stream from frame to packet and back, and the pump thread that carries them all.
