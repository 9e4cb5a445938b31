//! What was agreed, in the words of the stream, and what the account wants, in those of descriptions.

use codecs::CodecKind;
use media::{
    Codec, Dtls, MasterKey, OpusWishes, Security, StreamParameters, Suite, TelephoneEvent,
};
use model::{MediaDirection, SrtpPolicy};
use nat::ice::{Base, Component};
use sdp::{
    CryptoSuite, Direction, DtlsRole, Encryption, Fingerprint, FingerprintHash, Negotiated,
    NegotiatedCrypto, NegotiatedDtls, NegotiatedIce,
};

/// Below this Opus is not speech any more (RFC 7587 §3.1.1).
const LEAST_BITRATE_BPS: u32 = 6_000;

pub(super) fn parameters(
    agreed: &Negotiated,
    certificate: Option<&dtls::Certificate>,
) -> Result<StreamParameters, String> {
    let security = agreed.crypto.as_ref().map(security).transpose()?;
    let dtls = agreed.dtls.as_ref().map(|agreed| {
        let certificate = certificate.cloned();
        let certificate = certificate.ok_or("there is no certificate for the handshake")?;
        let association = agreed.association.as_ref().map(|names| media::Association {
            ours: names.ours.clone(),
            theirs: names.theirs.clone(),
        });
        Ok::<_, String>(Dtls {
            certificate,
            peer: peer(agreed),
            association,
        })
    });
    let dtls = dtls.transpose()?;
    Ok(StreamParameters {
        remote: agreed.remote,
        signalling: None,
        remote_rtcp: agreed.remote_rtcp,
        rtcp_mux: agreed.rtcp_mux,
        codec: Codec {
            kind: codec_kind(agreed.codec),
            send_payload_type: agreed.send_payload_type,
            receive_payload_type: agreed.receive_payload_type,
        },
        // All but the first, which is the agreed one.
        further_codecs: (agreed.codecs.iter().skip(1))
            .map(|further| media::ReceivedCodec {
                payload_type: further.receive_payload_type,
                kind: codec_kind(further.codec),
            })
            .collect(),
        opus: opus(agreed),
        further_events: (agreed.further_events.iter())
            .map(|event| media::ReceivedEvents {
                payload_type: event.receive_pt,
                clock_rate_hz: event.clock_rate_hz,
            })
            .collect(),
        telephone_event: agreed.telephone_event.as_ref().map(|event| TelephoneEvent {
            send_payload_type: event.send_pt,
            receive_payload_type: event.receive_pt,
            clock_rate_hz: event.clock_rate_hz,
        }),
        ptime_ms: agreed.ptime_ms,
        comfort_noise: agreed.comfort_noise,
        twice: false,
        send: agreed.direction.sends(),
        receive: agreed.direction.receives(),
        security,
        dtls,
        ice: None,
        extended_reports: media::ExtendedReports {
            metrics: agreed.extended_reports.voip_metrics,
            round_trip: agreed.extended_reports.round_trip,
        },
    })
}

/// How the peer wants its Opus (RFC 7587 §6.1, §7, RFC 8866 §5.8).
fn opus(agreed: &Negotiated) -> OpusWishes {
    let theirs = agreed.opus.unwrap_or_default();
    // `b=AS` counts the headers: 40 bytes in each packet.
    let headers = 40 * 8 * 1_000 / u64::from(agreed.ptime_ms.max(1));
    let all = agreed
        .max_bits_per_second
        .and_then(|bits| u32::try_from(bits.saturating_sub(headers)).ok());
    let most = theirs.max_average_bits_per_second.into_iter().chain(all);
    OpusWishes {
        most_bps: most.min().map(|most| most.max(LEAST_BITRATE_BPS)),
        playback_rate_hz: theirs.max_playback_rate_hz,
        fec: theirs.in_band_fec,
        dtx: theirs.dtx,
        constant_bit_rate: theirs.constant_bit_rate,
    }
}

/// What to go by in finding a way.
pub(super) fn session(agreed: &NegotiatedIce, bases: &[Base], rtcp_mux: bool) -> nat::ice::Session {
    let credentials = |of: &sdp::IceCredentials| nat::ice::Credentials {
        ufrag: of.ufrag.clone(),
        pwd: of.pwd.clone(),
    };
    nat::ice::Session {
        local: credentials(&agreed.local),
        remote: credentials(&agreed.remote),
        // RFC 5761 §5.1.3: what shares the port needs no way of its own.
        bases: bases
            .iter()
            .filter(|base| base.component == Component::Media || !rtcp_mux)
            .copied()
            .collect(),
        candidates: agreed.candidates.clone(),
        controlling: agreed.controlling,
    }
}

/// Our fingerprint as descriptions have it.
pub(super) fn ours(fingerprint: &dtls::Fingerprint) -> Fingerprint {
    Fingerprint {
        hash: match fingerprint.hash {
            dtls::Hash::Sha256 => FingerprintHash::Sha256,
            dtls::Hash::Sha384 => FingerprintHash::Sha384,
            dtls::Hash::Sha512 => FingerprintHash::Sha512,
        },
        digest: fingerprint.digest.clone(),
    }
}

/// Who the other side has to be in the handshake.
fn peer(agreed: &NegotiatedDtls) -> dtls::Peer {
    let fingerprints = agreed.fingerprints.iter();
    let theirs = fingerprints.map(|fingerprint| dtls::Fingerprint {
        hash: match fingerprint.hash {
            FingerprintHash::Sha256 => dtls::Hash::Sha256,
            FingerprintHash::Sha384 => dtls::Hash::Sha384,
            FingerprintHash::Sha512 => dtls::Hash::Sha512,
        },
        digest: fingerprint.digest.clone(),
    });
    dtls::Peer {
        fingerprints: theirs.collect(),
        role: match agreed.role {
            DtlsRole::Client => dtls::Role::Client,
            DtlsRole::Server => dtls::Role::Server,
        },
    }
}

/// The keys as the stream takes them. A call whose keys could not be used must not go on in the clear.
fn security(crypto: &NegotiatedCrypto) -> Result<Security, String> {
    let suite = match crypto.suite {
        CryptoSuite::AesCm128HmacSha1_80 => Suite::AesCm128HmacSha1_80,
        CryptoSuite::AesCm128HmacSha1_32 => Suite::AesCm128HmacSha1_32,
        CryptoSuite::AesCm256HmacSha1_80 => Suite::AesCm256HmacSha1_80,
        CryptoSuite::AesCm256HmacSha1_32 => Suite::AesCm256HmacSha1_32,
        CryptoSuite::AeadAes128Gcm => Suite::AeadAes128Gcm,
        CryptoSuite::AeadAes256Gcm => Suite::AeadAes256Gcm,
    };
    let key = |key: &sdp::CryptoKey| {
        let key = MasterKey::new(suite, key.reveal());
        key.ok_or_else(|| format!("a key is too short for {}", crypto.suite.name()))
    };
    Ok(Security {
        send: key(&crypto.send_key)?,
        receive: key(&crypto.receive_key)?,
        receive_mki: crypto.receive_mki.clone(),
        context: crypto.context,
    })
}

pub(super) fn in_sdp(direction: MediaDirection) -> Direction {
    Direction::new(direction.sends(), direction.receives())
}

pub(super) fn encryption(policy: SrtpPolicy) -> Encryption {
    match policy {
        SrtpPolicy::Off => Encryption::Off,
        SrtpPolicy::Optional => Encryption::OptionalInOneLine,
        SrtpPolicy::OptionalTwoLines => Encryption::OptionalInTwoLines,
        SrtpPolicy::Required => Encryption::Required,
    }
}

pub(super) fn codec_kind(codec: sdp::Codec) -> CodecKind {
    match codec {
        sdp::Codec::Opus => CodecKind::Opus,
        sdp::Codec::G722 => CodecKind::G722,
        sdp::Codec::Pcmu => CodecKind::Pcmu,
        sdp::Codec::Pcma => CodecKind::Pcma,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use sdp::{LocalMedia, Negotiator};

    use super::super::PTIME_MS;
    use super::*;

    /// A side of ours with the codecs that it has.
    fn side(codecs: &[sdp::Codec]) -> Negotiator {
        Negotiator::new(LocalMedia {
            address: IpAddr::from([192, 0, 2, 1]),
            port: 4_000,
            codecs: codecs.to_vec(),
            ptime_ms: PTIME_MS,
            telephone_event: true,
            session_id: 1,
        })
    }

    fn theirs(formats: &str, lines: &str) -> Vec<u8> {
        format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n\
             m=audio 6000 RTP/AVP {formats}\r\n{lines}"
        )
        .into_bytes()
    }

    fn wishes(lines: &str) -> OpusWishes {
        let lines = format!("{lines}a=rtpmap:111 opus/48000/2\r\n");
        let offer = theirs("111", &lines);
        let agreed = side(&[]).handle_offer(&offer).expect("it is usable").1;
        parameters(&agreed, None).expect("no keys are needed").opus
    }

    #[test]
    fn opus_keeps_to_what_the_peer_wants_at_most() {
        let rate = |lines: &str| {
            let ours = codecs::EncoderOptions::default();
            wishes(lines).with(ours).bitrate_bps
        };
        assert_eq!(rate(""), 32_000);
        assert_eq!(rate("b=AS:64\r\n"), 32_000);
        assert_eq!(rate("b=AS:40\r\n"), 24_000);
        // A third of the packets has a third of the headers.
        assert_eq!(rate("b=AS:32\r\na=ptime:60\r\n"), 26_667);
        assert_eq!(rate("a=fmtp:111 maxaveragebitrate=16000\r\n"), 16_000);
        assert_eq!(
            rate("b=AS:30\r\na=fmtp:111 maxaveragebitrate=16000\r\n"),
            14_000
        );
        assert_eq!(rate("b=AS:1\r\n"), LEAST_BITRATE_BPS);
    }

    /// RFC 7587 §6.1: what each parameter says, and what it means not to say it. The first of these is
    /// the RFC's own (§7.1) with `cbr`.
    #[test]
    fn opus_is_as_the_peer_wants_it() {
        let said = wishes(
            "a=fmtp:111 maxplaybackrate=16000; sprop-maxcapturerate=16000; maxaveragebitrate=20000; \
             stereo=1; useinbandfec=1; usedtx=0; cbr=1\r\n",
        );
        let expected = OpusWishes {
            most_bps: Some(20_000),
            playback_rate_hz: 16_000,
            fec: true,
            dtx: false,
            constant_bit_rate: true,
        };
        assert_eq!(said, expected);
        let expected = OpusWishes {
            most_bps: None,
            playback_rate_hz: 48_000,
            fec: false,
            dtx: false,
            constant_bit_rate: false,
        };
        assert_eq!(wishes(""), expected);
        let expected = OpusWishes {
            dtx: true,
            ..expected
        };
        assert_eq!(wishes("a=fmtp:111 usedtx=1;useinbandfec=0\r\n"), expected);
    }

    /// RFC 3264 §7: what the answer names is to be expected under our numbers; §6.1: the first of it is what is sent.
    #[test]
    fn all_that_an_answer_names_is_listened_for() {
        let mut ours = side(&[]);
        let _ = ours.offer();
        let answer = theirs(
            "0 98 9 101 99",
            "a=rtpmap:98 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=rtpmap:99 telephone-event/48000\r\n",
        );
        let agreed = ours.handle_answer(&answer).expect("it is usable");
        let told = parameters(&agreed, None).expect("no keys are needed");
        assert_eq!(told.codec, Codec::new(CodecKind::Pcmu, 0));
        let further: Vec<(u8, CodecKind)> = (told.further_codecs.iter())
            .map(|codec| (codec.payload_type, codec.kind))
            .collect();
        // They call Opus 98 and we 111: each sends under the number of the other (§5.1).
        assert_eq!(further, [(111, CodecKind::Opus), (9, CodecKind::G722)]);
        let event = told.telephone_event.expect("both want it");
        assert_eq!(
            (event.receive_payload_type, event.clock_rate_hz),
            (101, 8_000)
        );
        let further: Vec<(u8, u32)> = (told.further_events.iter())
            .map(|event| (event.payload_type, event.clock_rate_hz))
            .collect();
        assert_eq!(further, [(110, 48_000)]);
    }

    /// Our answer names one codec, so no other comes (RFC 3264 §6.1).
    #[test]
    fn of_an_offer_that_is_listened_for_which_our_answer_names() {
        let offer = theirs(
            "0 8 96 97",
            "a=rtpmap:96 opus/48000/2\r\na=rtpmap:97 telephone-event/48000\r\n",
        );
        let mut ours = side(&[sdp::Codec::Opus, sdp::Codec::Pcmu]);
        let agreed = ours.handle_offer(&offer).expect("it is usable").1;
        let told = parameters(&agreed, None).expect("no keys are needed");
        assert_eq!(
            told.codec,
            Codec::new(codec_kind(agreed.codec), agreed.receive_payload_type)
        );
        assert_eq!((told.further_codecs, told.further_events), (vec![], vec![]));
    }
}
