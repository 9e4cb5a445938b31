//! Tapes, which are files that somebody sent: any seed, any configuration, any inputs in any order.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|tape: &str| {
    // Configurations may ask for repeats each millisecond; what they send is bounded by the inputs.
    if let Ok(played) = replay::play(tape, Instant::now()) {
        for object in played {
            assert!(object.inputs <= tape.lines().count());
        }
    }
});
