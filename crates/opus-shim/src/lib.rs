//! What `audiopus` links: the C interface of libopus 1.6.1, from `opusic-sys`.
//!
//! `audiopus` is written against `audiopus_sys`, whose libopus is of the 1.3 line: clean speech at
//! 24 kb/s scores PESQ-WB 3.81 there and 4.16 with 1.6.1. This crate takes that name through
//! `[patch.crates-io]` and hands every symbol on from the newer library. One function differs:
//! [`opus_decoder_create`] switches deep concealment on, because `audiopus` keeps decoder controls
//! private and without it a lost packet sounds as it did in 2012.

pub use opusic_sys::*;

use core::ffi::c_int;

/// The decoder complexity from which libopus (built with DRED) conceals losses with its neural
/// model. 6 and 7 would also enhance intact speech, which costs more than a call may.
pub const DEEP_CONCEALMENT_COMPLEXITY: c_int = 5;

/// Creates a decoder as libopus does, and sets its complexity so that it conceals losses deeply.
///
/// This name hides the one that comes with the glob above; callers of `audiopus` get this one.
/// If the control should be refused the decoder is still a good one, so that is no error.
///
/// # Safety
///
/// `error` is null or points to a `c_int` that may be written, as for the C function. The pointer
/// that comes back is null or is owned by the caller, who gives it to `opus_decoder_destroy` once.
pub unsafe fn opus_decoder_create(
    sample_rate_hz: opus_int32,
    channels: c_int,
    error: *mut c_int,
) -> *mut OpusDecoder {
    // SAFETY: the arguments are handed on as they came, under the same contract.
    let decoder = unsafe { opusic_sys::opus_decoder_create(sample_rate_hz, channels, error) };
    if !decoder.is_null() {
        // SAFETY: the decoder was made in the line above and nobody else has it yet; the request
        // takes exactly one opus_int32 by value.
        let _ = unsafe {
            opus_decoder_ctl(
                decoder,
                OPUS_SET_COMPLEXITY_REQUEST,
                DEEP_CONCEALMENT_COMPLEXITY,
            )
        };
    }
    decoder
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ffi::CStr;

    #[test]
    fn linked_libopus_is_1_6_1() {
        // SAFETY: libopus returns a static, null-terminated string.
        let version = unsafe { CStr::from_ptr(opus_get_version_string()) };
        let version = version.to_str().expect("libopus names itself in ASCII");
        println!("linked: {version}");
        assert!(version.contains("1.6.1"), "linked: {version}");
    }

    #[test]
    fn new_decoder_conceals_deeply() {
        let mut error = -1;
        // SAFETY: `error` outlives the call.
        let decoder = unsafe { opus_decoder_create(48_000, 1, &raw mut error) };
        assert_eq!(error, OPUS_OK);
        assert!(!decoder.is_null());
        let mut complexity: opus_int32 = -1;
        // SAFETY: the decoder is alive, and the request takes one pointer to an opus_int32.
        let code =
            unsafe { opus_decoder_ctl(decoder, OPUS_GET_COMPLEXITY_REQUEST, &raw mut complexity) };
        assert_eq!((code, complexity), (OPUS_OK, DEEP_CONCEALMENT_COMPLEXITY));
        // SAFETY: made above, destroyed once.
        unsafe { opus_decoder_destroy(decoder) };
    }

    #[test]
    fn bad_rate_is_reported_and_gives_no_decoder() {
        let mut error = OPUS_OK;
        // SAFETY: `error` outlives the call.
        let decoder = unsafe { opus_decoder_create(44_100, 1, &raw mut error) };
        assert!(decoder.is_null());
        assert_eq!(error, OPUS_BAD_ARG);
    }
}
