//! A stream in pieces: the cuts make no difference to what comes out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip_message::framer::{Frame, StreamFramer};

fuzz_target!(|data: &[u8]| {
    // The first byte says how large the pieces are.
    let Some((&size, stream)) = data.split_first() else {
        return;
    };
    let whole = frames(&[stream]);
    let pieces: Vec<&[u8]> = stream.chunks(usize::from(size).max(1)).collect();
    assert_eq!(frames(&pieces), whole);
});

/// Everything that comes out; a fault ends the stream.
fn frames(pieces: &[&[u8]]) -> Vec<String> {
    let mut framer = StreamFramer::default();
    let mut seen = Vec::new();
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.poll() {
                Ok(Some(Frame::Message(bytes))) => seen.push(format!("{bytes:?}")),
                Ok(Some(frame)) => seen.push(format!("{frame:?}")),
                Ok(None) => break,
                Err(fault) => {
                    seen.push(format!("{fault:?}"));
                    return seen;
                }
            }
        }
    }
    seen
}
