//! Certificates, which a peer sends before anybody knows who it is.
#![no_main]

// The module by itself: the crate around it brings sockets and TLS, which nobody needs here.
#[allow(dead_code)]
#[path = "../../../crates/wire/src/certificate.rs"]
mod certificate;

use certificate::{AltName, Certificate, Fingerprint};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| {
    let Some(read) = Certificate::read(der) else {
        return;
    };
    assert_eq!(read.fingerprint, Fingerprint::of(der));
    // What is shown to a person is one line, whatever the certificate says.
    let shown = read.to_string();
    assert!(!shown.contains(['\r', '\n', '\u{1b}']), "{shown:?}");
    // RFC 5922 §7.2: a wildcard is nobody's name.
    for name in &read.names {
        if let AltName::Dns(name) = name
            && name.starts_with("*.")
        {
            assert!(!read.is_for(&name.replacen('*', "pbx", 1)) || read.names.len() > 1);
        }
    }
    for asked in ["", "example.org", "[2001:db8::1]", "192.0.2.1"] {
        let _ = read.is_for(asked);
    }
});
