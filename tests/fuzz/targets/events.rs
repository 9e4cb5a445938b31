//! What event packages say: XML and message summaries from anybody who may notify us.
#![no_main]

use event_bodies::conference::ConferenceInfo;
use event_bodies::dialog_info::DialogInfo;
use event_bodies::message_summary::MessageSummary;
use event_bodies::presence::Presence;
use event_bodies::reg_info::RegInfo;
use libfuzzer_sys::fuzz_target;

/// What was read can be written, and what was written can be read. Control characters are left out on
/// the way, and blanks that come to stand at an end with them; what has gone through once stays as it is.
macro_rules! comes_back {
    ($kind:ty, $data:expr) => {
        if let Ok(read) = <$kind>::parse($data) {
            let written = read.to_bytes();
            let again = <$kind>::parse(&written).expect("what was written can be read");
            let clean = again.to_bytes();
            let settled = <$kind>::parse(&clean).expect("what was written can be read");
            let text = String::from_utf8_lossy(&clean);
            assert_eq!(settled.to_bytes(), clean, "{text}");
        }
    };
}

fuzz_target!(|data: &[u8]| {
    comes_back!(MessageSummary, data);
    comes_back!(DialogInfo, data);
    comes_back!(Presence, data);
    comes_back!(RegInfo, data);
    comes_back!(ConferenceInfo, data);
});
