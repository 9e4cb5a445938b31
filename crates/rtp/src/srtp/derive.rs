//! Session keys out of a master key (RFC 3711 §4.3), derived once: the key derivation rate is always 0.

use aes::cipher::KeyInit;
use zeroize::Zeroizing;

use super::MasterKey;
use super::cipher::{Aes, Cipher};

/// What a key is for (RFC 3711 §4.3.2); the number goes into its derivation.
#[derive(Clone, Copy)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
    /// No session key: by it two master keys are told apart. Not among the labels that a standard has taken.
    Mark = 0xFF,
}

/// What tells this master key from others and says nothing about it. The same for suites that make the same key stream of
/// it.
pub(super) fn mark(master: &MasterKey) -> Option<[u8; 16]> {
    let mut mark = [0; 16];
    derive(master, Label::Mark, &mut mark)?;
    Some(mark)
}

/// The keyed cipher for RTP.
pub(super) fn rtp_cipher(master: &MasterKey) -> Option<Cipher> {
    let tag_len = master.suite.rtp_tag_len();
    let labels = [
        Label::RtpEncryption,
        Label::RtpAuthentication,
        Label::RtpSalt,
    ];
    cipher(master, labels, tag_len)
}

/// The keyed cipher for RTCP.
pub(super) fn rtcp_cipher(master: &MasterKey) -> Option<Cipher> {
    let tag_len = master.suite.rtcp_tag_len();
    let labels = [
        Label::RtcpEncryption,
        Label::RtcpAuthentication,
        Label::RtcpSalt,
    ];
    cipher(master, labels, tag_len)
}

fn cipher(master: &MasterKey, labels: [Label; 3], tag_len: usize) -> Option<Cipher> {
    let [encryption, authentication, salting] = labels;
    let (mut key, mut mac, mut salt) = (
        Zeroizing::new([0; 32]),
        Zeroizing::new([0; 20]),
        Zeroizing::new([0; 14]),
    );
    let key = key.get_mut(..master.suite.key_len())?;
    derive(master, encryption, key)?;
    derive(master, authentication, &mut *mac)?;
    derive(master, salting, salt.get_mut(..master.suite.salt_len())?)?;
    Cipher::new(master.suite, key, &mac, &salt, tag_len)
}

/// The key stream of the master key at the place that the label names (RFC 3711 §4.3.3, RFC 6188 §3; an
/// AEAD suite's shorter salt is filled up with zeros, RFC 7714 §11).
pub(super) fn derive(master: &MasterKey, label: Label, out: &mut [u8]) -> Option<()> {
    let aes = match master.key().len() {
        16 => Aes::Short(KeyInit::new_from_slice(master.key()).ok()?),
        _ => Aes::Long(KeyInit::new_from_slice(master.key()).ok()?),
    };
    let mut start = Zeroizing::new([0; 16]);
    start
        .get_mut(..master.salt().len())?
        .copy_from_slice(master.salt());
    start[7] ^= label as u8;
    out.fill(0);
    aes.apply_key_stream(&start, out);
    Some(())
}
