//! Addresses, alone and with a display name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip_message::{NameAddr, Uri};

fuzz_target!(|text: &str| {
    if let Ok(uri) = Uri::parse(text) {
        let written = uri.to_string();
        let again = Uri::parse(&written).expect("what was written can be read");
        assert_eq!(again.to_string(), written);
        assert!(uri.equivalent(&again), "{written}");
    }
    if let Ok(party) = NameAddr::parse(text) {
        let written = party.to_string();
        let again = NameAddr::parse(&written).expect("what was written can be read");
        assert_eq!(again.to_string(), written);
    }
});
