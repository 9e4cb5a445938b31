//! Challenges, and what a client makes of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip_message::Challenge;

fuzz_target!(|text: &str| {
    let _ = Challenge::parse(text);
});
