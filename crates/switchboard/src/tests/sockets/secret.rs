//! Test numbers over SRTP and over G.722. The descriptions are written by hand, and the other end is made of `rtp::srtp`
//! and `codecs` alone.

use codecs::{CodecKind, Decoder};
use rtp::srtp::{MasterKey, Protector, Suite, Unprotector};
use sdp::SessionDescription;

use super::*;

/// A caller of a number.
struct Caller {
    wire: Wire,
    media: UdpSocket,
    uri: String,
    call_id: String,
    cseq: u32,
    /// Of `o=`: another one is another party.
    session: u32,
    /// The 200 that made the dialog.
    dialog: Option<Response>,
    /// Where the line is.
    line: Option<SocketAddr>,
}

impl Caller {
    async fn of(board: SocketAddr, number: &str) -> Self {
        let wire = Wire::udp(board).await;
        Self {
            call_id: format!("secret-{}", wire.local().port()),
            wire,
            media: UdpSocket::bind("127.0.0.1:0").await.expect("a socket"),
            uri: format!("sip:{number}@{board}"),
            cseq: 0,
            session: 1,
            dialog: None,
            line: None,
        }
    }

    /// Offers these media lines, with our port for `PORT`; what comes of it is acknowledged.
    async fn invite(&mut self, lines: &str) -> Response {
        self.cseq += 1;
        let (cseq, via) = (self.cseq, self.wire.local().to_string());
        let port = self.media.local_addr().expect("an address").port();
        let body = format!(
            "v=0\r\no=- {} {cseq} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n{}",
            self.session,
            lines.replace("PORT", &port.to_string())
        );
        let to = match &self.dialog {
            Some(ok) => ok.headers.get(HeaderName::To).expect("a To").to_owned(),
            None => format!("<{}>", self.uri),
        };
        let branch = format!("z9hG4bK{}i{cseq}", self.call_id);
        let mut ask = Ask {
            uri: &self.uri,
            to: &to,
            call_id: &self.call_id,
            cseq,
            via: &via,
            branch: &branch,
            headers: &format!("Contact: <sip:me@{via}>\r\n"),
            body: &body,
            ..Ask::default()
        };
        self.wire.send(ask.text().as_bytes()).await;
        let answer = self.wire.answer().await;
        let to = answer.headers.get(HeaderName::To).expect("a To");
        (ask.method, ask.to, ask.headers, ask.body) = ("ACK", to, "", "");
        if !answer.status.is_success() {
            // RFC 3261 §17.1.1.3: the ACK of a refusal belongs to its INVITE.
            self.wire.send(ask.text().as_bytes()).await;
            return answer;
        }
        let (contact, branch) = (
            answer.headers.contact().expect("a Contact").uri.to_string(),
            format!("{branch}a"),
        );
        (ask.uri, ask.branch) = (&contact, &branch);
        self.wire.send(ask.text().as_bytes()).await;
        let described = SessionDescription::parse(&answer.body).expect("a description");
        let mut lines = described.media();
        let taken = lines.find(|line| line.port() != 0).expect("a line");
        self.line = taken.address().ok();
        self.uri = contact;
        self.dialog = Some(answer.clone());
        answer
    }

    async fn say(&self, packet: &[u8]) {
        let line = self.line.expect("an answer");
        self.media.send_to(packet, line).await.expect("sent");
    }

    /// The next datagram.
    async fn hear(&self) -> Vec<u8> {
        let mut buffer = [0_u8; 2_048];
        let received = timeout(SOON, self.media.recv_from(&mut buffer)).await;
        let (length, from) = received.expect("soon").expect("a packet");
        assert_eq!(Some(from), self.line);
        buffer[..length].to_vec()
    }
}

/// RFC 4568 §6.2, RFC 6188 §6.3, RFC 7714 §14.2.
fn name(suite: Suite) -> &'static str {
    match suite {
        Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
        Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        Suite::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
        Suite::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
        Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
        Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
    }
}

fn bytes_of(suite: Suite, fill: u8) -> Vec<u8> {
    let length = suite.master_len() as u8;
    (0..length).map(|n| fill ^ n.wrapping_mul(37)).collect()
}

/// `a=crypto` with the key of this filling.
fn crypto(suite: Suite, fill: u8) -> String {
    let key = base64(&bytes_of(suite, fill));
    format!("a=crypto:7 {} inline:{key}\r\n", name(suite))
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, n| {
            bits << 8 | u32::from(three.get(n).copied().unwrap_or(0))
        });
        for n in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * n) & 63) as usize];
            text.push(if n <= three.len() { letter.into() } else { '=' });
        }
    }
    text
}

/// Our key of this filling.
fn protector(suite: Suite, fill: u8) -> Protector {
    let key = MasterKey::new(suite, &bytes_of(suite, fill));
    Protector::new(&key.expect("as long as it has to be")).expect("a key")
}

/// The line's key in its answer, which is of the suite and the tag that were offered.
fn key_of(answer: &Response, suite: Suite) -> MasterKey {
    let described = SessionDescription::parse(&answer.body).expect("a description");
    let mut lines = described.media();
    let taken = lines.find(|line| line.port() != 0).expect("a line");
    let keys = taken.crypto();
    let [key] = keys.as_slice() else {
        panic!("{} keys", keys.len())
    };
    assert_eq!((key.tag, key.suite.name()), (7, name(suite)));
    MasterKey::new(suite, key.key.reveal()).expect("a key")
}

fn unprotector(key: &MasterKey) -> Unprotector {
    Unprotector::new(key, &[]).expect("a key")
}

fn packet(sequence: u16) -> Vec<u8> {
    let header = RtpHeader {
        marker: false,
        payload_type: 0,
        sequence_number: sequence,
        timestamp: u32::from(sequence) * 160,
        ssrc: 0xAAAA,
    };
    let mut packet = Vec::new();
    let payload = [sequence as u8; 160];
    header.write(&payload, &mut packet).expect("a packet");
    packet
}

fn sealed(protector: &mut Protector, sequence: u16) -> Vec<u8> {
    let mut packet = packet(sequence);
    protector.protect_rtp(&mut packet).expect("protected");
    packet
}

/// What a datagram says to who has the key.
fn opened(unprotector: &mut Unprotector, mut datagram: Vec<u8>) -> (RtpHeader, Vec<u8>) {
    let length = unprotector.unprotect_rtp(&mut datagram);
    let packet = RtpPacket::parse(&datagram[..length.expect("genuine")]).expect("a packet");
    (packet.header, packet.payload.to_vec())
}

/// Both keys of a call, and what was heard last.
struct Talk {
    out: Protector,
    back: Unprotector,
    last: Option<(u32, u16)>,
}

impl Talk {
    fn new(suite: Suite, fill: u8, answer: &Response) -> Self {
        Self {
            out: protector(suite, fill),
            back: unprotector(&key_of(answer, suite)),
            last: None,
        }
    }

    /// Says a packet and hears its echo: encrypted, and the next one of its source.
    async fn echo(&mut self, caller: &Caller, sequence: u16) {
        let sealed = sealed(&mut self.out, sequence);
        caller.say(&sealed).await;
        self.hear(caller, sequence).await;
    }

    async fn hear(&mut self, caller: &Caller, sequence: u16) {
        let wire = caller.hear().await;
        assert_ne!(wire[12..172], [sequence as u8; 160], "it is encrypted");
        let (header, payload) = opened(&mut self.back, wire);
        assert_eq!(payload, [sequence as u8; 160]);
        assert_eq!(header.timestamp, u32::from(sequence) * 160);
        assert_ne!(header.ssrc, 0xAAAA, "it speaks for itself");
        let (ssrc, before) = *self
            .last
            .get_or_insert((header.ssrc, header.sequence_number.wrapping_sub(1)));
        assert_eq!(
            (header.ssrc, header.sequence_number),
            (ssrc, before.wrapping_add(1))
        );
        self.last = Some((ssrc, header.sequence_number));
    }
}

#[test]
fn every_suite_comes_back_from_the_echo_encrypted_with_a_key_of_its_own() {
    run(async {
        let (_board, at) = start().await;
        let mut keys: Vec<MasterKey> = Vec::new();
        for suite in Suite::ALL {
            for profile in ["RTP/SAVP", "RTP/AVP"] {
                let mut caller = Caller::of(at, "echo").await;
                let key = crypto(suite, 1);
                let answer = caller
                    .invite(&format!("m=audio PORT {profile} 0\r\n{key}"))
                    .await;
                assert_eq!(answer.status.code(), 200, "{suite:?} {profile}");
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                assert!(text.contains(&format!(" {profile} 0")), "{text}");
                let theirs = key_of(&answer, suite);
                assert!(!keys.contains(&theirs), "no key comes twice");
                keys.push(theirs);
                let mut talk = Talk::new(suite, 1, &answer);
                for sequence in 1..=20 {
                    talk.echo(&caller, sequence).await;
                }
            }
            println!("{}: 40 packets there and back", name(suite));
        }
        let own = Suite::ALL.map(|suite| MasterKey::new(suite, &bytes_of(suite, 1)));
        assert!(own.into_iter().flatten().all(|key| !keys.contains(&key)));
    });
}

#[test]
fn of_two_lines_the_encrypted_one_is_taken() {
    run(async {
        let (_board, at) = start().await;
        let suite = Suite::AesCm128HmacSha1_80;
        let secret = format!("m=audio PORT RTP/SAVP 0\r\n{}", crypto(suite, 1));
        let plain = "m=audio PORT RTP/AVP 0\r\n";
        for (lines, taken) in [
            (format!("{secret}{plain}"), 0),
            (format!("{plain}{secret}"), 1),
        ] {
            let mut caller = Caller::of(at, "echo").await;
            let answer = caller.invite(&lines).await;
            let described = SessionDescription::parse(&answer.body).expect("a description");
            let ports: Vec<bool> = described.media().map(|line| line.port() != 0).collect();
            assert_eq!(ports, [taken == 0, taken == 1]);
            let mut talk = Talk::new(suite, 1, &answer);
            for sequence in 1..=3 {
                talk.echo(&caller, sequence).await;
            }
        }
    });
}

/// RFC 3711 §3.3: what is replayed or not genuine is not to be used. What comes back next is the echo of what was said next.
#[test]
fn what_is_forged_or_replayed_is_not_echoed_and_is_counted() {
    run(async {
        let (board, at) = start().await;
        let mut happenings = board.happenings();
        for (n, suite) in (1..).zip(Suite::ALL) {
            let mut caller = Caller::of(at, "echo").await;
            let lines = format!(
                "m=audio PORT RTP/SAVP 0\r\na=rtcp-mux\r\n{}",
                crypto(suite, 1)
            );
            let answer = caller.invite(&lines).await;
            let mut talk = Talk::new(suite, 1, &answer);
            // Before anything genuine came: another key than the one that was announced.
            let mut stranger = protector(suite, 2);
            caller.say(&sealed(&mut stranger, 1)).await;
            let first = sealed(&mut talk.out, 1);
            caller.say(&first).await;
            talk.hear(&caller, 1).await;
            for _ in 0..2 {
                caller.say(&first).await;
            }
            let second = sealed(&mut talk.out, 2);
            let mut damaged = second.clone();
            damaged[20] ^= 1;
            let mut elsewhere = second.clone();
            elsewhere[3] ^= 8;
            for forged in [sealed(&mut stranger, 2), packet(2), damaged, elsewhere] {
                caller.say(&forged).await;
            }
            // Reports share the port: an empty one of ours, and one in the clear.
            let report = vec![0x80, 201, 0, 1, 0, 0, 0xAA, 0xAA];
            let mut genuine = report.clone();
            talk.out.protect_rtcp(&mut genuine).expect("protected");
            caller.say(&genuine).await;
            let mut padded = report;
            padded.extend([0; 32]);
            caller.say(&padded).await;
            // No media at all.
            caller.say(b"\r\n\r\n").await;
            caller.say(&second).await;
            talk.hear(&caller, 2).await;
            let counts = board.counts().await.expect("it runs");
            assert_eq!(
                (counts.media_forged, counts.media_replayed),
                (6 * n, 2 * n),
                "{suite:?}"
            );
        }
        let mut told = 0;
        while let Ok(happening) = happenings.try_recv() {
            told += usize::from(format!("{:?}", happening.0).contains("agreed key"));
        }
        assert_eq!(told, Suite::ALL.len(), "once for each call");
    });
}

/// RFC 3711 §3.3.1: a new key does not set the rollover counter back, and the numbers go on. RFC 4568 §7.1.4: with another
/// party it begins at zero.
#[test]
fn a_new_key_in_the_call_takes_over_and_the_numbers_go_on() {
    run(async {
        let (board, at) = start().await;
        let (first, other) = (Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm);
        let offer = |suite, fill| format!("m=audio PORT RTP/SAVP 0\r\n{}", crypto(suite, fill));
        let mut caller = Caller::of(at, "echo").await;
        let answer = caller.invite(&offer(first, 1)).await;
        let key = key_of(&answer, first);
        let mut talk = Talk::new(first, 1, &answer);
        // Over the end of the numbers: the counter is one.
        for sequence in (65_530..=65_535).chain(0..4) {
            talk.echo(&caller, sequence).await;
        }
        // Another key of ours; the line's own is not concerned, and goes on.
        let answer = caller.invite(&offer(first, 2)).await;
        assert_eq!(key_of(&answer, first), key);
        let mut next = protector(first, 2);
        next.follow(&talk.out);
        let mut before = std::mem::replace(&mut talk.out, next);
        for sequence in 4..8 {
            talk.echo(&caller, sequence).await;
        }
        // §7.1.4: what was under way is taken for a moment.
        caller.say(&sealed(&mut before, 8)).await;
        talk.hear(&caller, 8).await;
        // Another suite is another key both ways.
        let answer = caller.invite(&offer(other, 3)).await;
        let mut anew = Talk::new(other, 3, &answer);
        anew.out.follow(&talk.out);
        anew.back.follow(&talk.back);
        anew.last = talk.last;
        for sequence in 9..12 {
            anew.echo(&caller, sequence).await;
        }
        // Who comes in place of the caller has other keys of the line, too, and begins at zero.
        let key = key_of(&answer, other);
        caller.session = 2;
        let answer = caller.invite(&offer(other, 4)).await;
        assert_ne!(key_of(&answer, other), key);
        let mut party = Talk::new(other, 4, &answer);
        party.last = anew.last;
        for sequence in 12..15 {
            party.echo(&caller, sequence).await;
        }
        assert_eq!(board.counts().await.expect("it runs").media_forged, 0);
    });
}

/// RFC 3711 §9.1: under one key no number may come twice, whatever is sent.
#[test]
fn a_tone_goes_on_with_its_numbers_in_another_codec_under_the_same_key() {
    run(async {
        let (_board, at) = start().await;
        let suite = Suite::AesCm256HmacSha1_80;
        let key = crypto(suite, 1);
        let mut caller = Caller::of(at, "tone").await;
        let offer = |format: u8| format!("m=audio PORT RTP/SAVP {format}\r\n{key}");
        let answer = caller.invite(&offer(0)).await;
        let mut back = unprotector(&key_of(&answer, suite));
        let mut last: Option<u16> = None;
        for format in [0, 9, 8] {
            if format != 0 {
                caller.invite(&offer(format)).await;
            }
            let mut heard = 0;
            while heard < 5 {
                let (header, _) = opened(&mut back, caller.hear().await);
                let number = header.sequence_number;
                assert_eq!(number, last.map_or(number, |last| last.wrapping_add(1)));
                last = Some(number);
                heard += u8::from(header.payload_type == format);
            }
        }
    });
}

/// RFC 3711 §3.1: a key that was given a name has it in each packet, before the tag.
#[test]
fn a_key_with_a_name_is_known_by_it() {
    run(async {
        let (board, at) = start().await;
        let suite = Suite::AesCm128HmacSha1_80;
        let key = crypto(suite, 1).replace("\r\n", "|2^20|258:2\r\n");
        let mut caller = Caller::of(at, "echo").await;
        let answer = caller
            .invite(&format!("m=audio PORT RTP/SAVP 0\r\n{key}"))
            .await;
        let mut talk = Talk::new(suite, 1, &answer);
        for sequence in 1..4 {
            let mut named = sealed(&mut talk.out, sequence);
            let tag = named.len() - 10;
            named.splice(tag..tag, [1, 2]);
            caller.say(&named).await;
            talk.hear(&caller, sequence).await;
        }
        assert_eq!(board.counts().await.expect("it runs").media_forged, 0);
    });
}

/// RFC 3551 §4.5.2: type 9, and a clock of 8000 Hz for 16000 samples a second.
#[test]
fn the_tone_in_g722_has_its_frequency_and_level() {
    run(async {
        let (_board, at) = start().await;
        let mut caller = Caller::of(at, "tone").await;
        let answer = caller.invite("m=audio PORT RTP/AVP 9\r\n").await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(text.contains(" RTP/AVP 9\r\n"), "{text}");
        let mut decoder = Decoder::new(CodecKind::G722).expect("a decoder");
        let (mut samples, mut last) = (Vec::new(), None);
        for _ in 0..60 {
            let datagram = caller.hear().await;
            let packet = RtpPacket::parse(&datagram).expect("a packet");
            let time = packet.header.timestamp;
            assert_eq!((packet.header.payload_type, packet.payload.len()), (9, 160));
            assert_eq!(time, last.map_or(time, |t: u32| t.wrapping_add(160)));
            last = Some(time);
            let mut frame = [0_i16; 320];
            let length = decoder.decode(packet.payload, &mut frame);
            assert_eq!(length, Ok(320));
            samples.extend(frame.map(f64::from));
        }
        // A second of it, when the codec has found its steps.
        let second = &samples[3_200..19_200];
        let (hertz, level) = (frequency(second, 16_000.0), rms(second));
        println!("{hertz:.2} Hz, {level:.2} dB below full scale");
        assert!((hertz - 1_004.0).abs() < 0.5, "{hertz} Hz");
        // 3.14 dB below the largest sine, which is 3.01 dB below full scale.
        assert!((level + 6.15).abs() < 0.3, "{level} dB");
    });
}

/// From zero to zero upwards, with the places between samples.
fn frequency(samples: &[f64], rate_hz: f64) -> f64 {
    let pairs = samples.iter().zip(samples.iter().skip(1)).enumerate();
    let rising = pairs.filter(|(_, (a, b))| **a < 0.0 && **b >= 0.0);
    let places: Vec<f64> = rising.map(|(n, (a, b))| n as f64 - a / (b - a)).collect();
    let (first, last) = (places.first(), places.last());
    let length = last.expect("a zero") - first.expect("a zero");
    (places.len() - 1) as f64 * rate_hz / length
}

/// In decibels of full scale.
fn rms(samples: &[f64]) -> f64 {
    let sum: f64 = samples.iter().map(|s| (s / 32_768.0).powi(2)).sum();
    10.0 * (sum / samples.len() as f64).log10()
}

#[test]
fn g722_is_echoed_as_it_is_in_the_clear_and_encrypted_and_taken_before_g711() {
    run(async {
        let (_board, at) = start().await;
        for (formats, taken) in [("9", 9), ("0 8 9", 9), ("8 0", 0), ("8", 8)] {
            for secret in [false, true] {
                let suite = Suite::AeadAes128Gcm;
                let mut caller = Caller::of(at, "echo").await;
                let key = if secret {
                    crypto(suite, 1)
                } else {
                    String::new()
                };
                let profile = if secret { "RTP/SAVP" } else { "RTP/AVP" };
                let lines = format!("m=audio PORT {profile} {formats}\r\n{key}");
                let answer = caller.invite(&lines).await;
                let mut packet = packet(5);
                packet[1] = taken;
                let mut back = None;
                if secret {
                    let mut talk = Talk::new(suite, 1, &answer);
                    talk.out.protect_rtp(&mut packet).expect("protected");
                    back = Some(talk.back);
                }
                caller.say(&packet).await;
                let heard = caller.hear().await;
                let (header, payload) = match &mut back {
                    Some(back) => opened(back, heard),
                    None => {
                        let packet = RtpPacket::parse(&heard).expect("a packet");
                        (packet.header, packet.payload.to_vec())
                    }
                };
                assert_eq!((header.payload_type, header.timestamp), (taken, 5 * 160));
                assert_eq!(payload, [5; 160], "{formats} {secret}");
            }
        }
    });
}

/// RFC 3261 §20.43, §21.4.26.
#[test]
fn a_refusal_says_what_it_was_refused_for() {
    run(async {
        let (_board, at) = start().await;
        let fingerprint = ["AB"; 32].join(":");
        let dtls = format!(
            "m=audio PORT UDP/TLS/RTP/SAVP 0\r\na=setup:actpass\r\na=fingerprint:sha-256 {fingerprint}\r\n"
        );
        let strange = crypto(Suite::AesCm128HmacSha1_80, 1).replace("AES_CM_128", "F8_128");
        let strange = format!("m=audio PORT RTP/SAVP 0\r\n{strange}");
        let offers: [(&str, u16, &str); 7] = [
            (&dtls, 302, "keys by DTLS are not done"),
            ("m=audio PORT RTP/SAVP 0\r\n", 302, "without a=crypto"),
            (&strange, 302, "no a=crypto has one key of a suite"),
            (
                "m=audio PORT TCP/RTP/AVP 0\r\n",
                302,
                "RTP/AVP and RTP/SAVP",
            ),
            ("m=video PORT RTP/AVP 31\r\n", 304, "only audio"),
            ("m=audio PORT RTP/AVP 18\r\n", 305, "G722"),
            ("m=audio\r\n", 399, "malformed"),
        ];
        let check = |refusal: &Response, code, words: &str| {
            assert_eq!(refusal.status.code(), 488, "{words}");
            let warnings = refusal.headers.warnings().expect("readable");
            let [warning] = warnings.as_slice() else {
                panic!("{} warnings", warnings.len())
            };
            println!("{warning}");
            assert_eq!((warning.code, &warning.agent), (code, &at.to_string()));
            assert!(warning.text.contains(words), "{warning}");
        };
        // A call that is up goes on as it was.
        let suite = Suite::AesCm128HmacSha1_80;
        let mut up = Caller::of(at, "echo").await;
        let answer = up
            .invite(&format!("m=audio PORT RTP/SAVP 0\r\n{}", crypto(suite, 1)))
            .await;
        let mut talk = Talk::new(suite, 1, &answer);
        for (sequence, (lines, code, words)) in (1..).zip(offers) {
            let mut caller = Caller::of(at, "echo").await;
            check(&caller.invite(lines).await, code, words);
            check(&up.invite(lines).await, code, words);
            talk.echo(&up, sequence).await;
        }
    });
}
