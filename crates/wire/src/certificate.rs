//! What a certificate says, as far as people and RFC 5922 need it.
//!
//! Whether it is genuine is not decided here: `tls` does that with `rustls-webpki`. This
//! reads names and dates, so that they can be compared and shown.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

/// SHA-256 over a certificate as it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl fmt::Display for Fingerprint {
    /// `AB:CD:…`, as other programs show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint has 64 hexadecimal digits, with or without colons")]
pub struct NoFingerprint;

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let mut digits = text.chars().filter(|c| !matches!(c, ':' | ' '));
        let mut bytes = [0_u8; 32];
        for byte in &mut bytes {
            let mut digit = || digits.next()?.to_digit(16);
            let (Some(high), Some(low)) = (digit(), digit()) else {
                return Err(NoFingerprint);
            };
            *byte = u8::try_from(high * 16 + low).map_err(|_| NoFingerprint)?;
        }
        match digits.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(NoFingerprint),
        }
    }
}

/// A name in a certificate's subjectAltName that SIP can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AltName {
    /// The URI `sip:domain`.
    Sip(String),
    /// A name of the DNS. A wildcard is kept as it is written and matches no SIP domain.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

impl fmt::Display for AltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(domain) => write!(f, "sip:{domain}"),
            Self::Dns(name) => f.write_str(name),
            Self::Ip(ip) => write!(f, "{ip}"),
        }
    }
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Over the whole of it.
    pub fingerprint: Fingerprint,
    /// Whom it is for: `CN=pbx.example, O=Example`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The names in its subjectAltName.
    pub names: Vec<AltName>,
    /// Whether it has a subjectAltName at all; its common name counts only without one.
    pub has_alt_names: bool,
    /// The common name of the subject.
    pub common_name: Option<String>,
    /// It is valid from then.
    pub not_before: SystemTime,
    /// It is valid until then.
    pub not_after: SystemTime,
    /// Whether subject and issuer are the same.
    pub is_self_issued: bool,
}

impl Certificate {
    /// Reads a certificate in DER; `None` where it is not one.
    pub fn read(der: &[u8]) -> Option<Self> {
        let mut outer = Der(Der(der).expect(SEQUENCE)?);
        let mut body = Der(outer.expect(SEQUENCE)?);
        body.take_if(CONTEXT_0);
        body.expect(INTEGER)?;
        body.expect(SEQUENCE)?;
        let issuer = body.expect(SEQUENCE)?;
        let mut validity = Der(body.expect(SEQUENCE)?);
        let not_before = time(validity.next()?)?;
        let not_after = time(validity.next()?)?;
        let subject = body.expect(SEQUENCE)?;
        body.expect(SEQUENCE)?;
        let mut names = None;
        while let Some((tag, content)) = body.next() {
            if tag == CONTEXT_3 {
                names = alt_names(content)?;
            }
        }
        Some(Self {
            fingerprint: Fingerprint::of(der),
            subject: distinguished_name(subject),
            issuer: distinguished_name(issuer),
            has_alt_names: names.is_some(),
            names: names.unwrap_or_default(),
            common_name: attribute(subject, COMMON_NAME),
            not_before,
            not_after,
            is_self_issued: subject == issuer,
        })
    }

    /// Whether it is for this domain or address (RFC 5922 §7.1 and §7.2): `sip:` URIs count before
    /// DNS names, the common name only where there is no subjectAltName, and wildcards never.
    pub fn is_for(&self, asked: &str) -> bool {
        let asked = asked.trim_end_matches('.');
        let bare = asked.trim_start_matches('[').trim_end_matches(']');
        let ip = bare.parse::<IpAddr>().ok();
        let same = |name: &str| name.trim_end_matches('.').eq_ignore_ascii_case(asked);
        let is_sip = |name: &AltName| matches!(name, AltName::Sip(_));
        if self.names.iter().any(is_sip) {
            return self.names.iter().any(|name| match name {
                AltName::Sip(domain) => same(domain),
                // Nothing but a URI names a domain here; an address was not asked for as one.
                AltName::Ip(listed) => Some(*listed) == ip,
                AltName::Dns(_) => false,
            });
        }
        if self.has_alt_names {
            return self.names.iter().any(|name| match name {
                AltName::Dns(name) => same(name),
                AltName::Ip(listed) => Some(*listed) == ip,
                AltName::Sip(_) => false,
            });
        }
        self.common_name.as_deref().is_some_and(same)
    }

    /// Whether it is for this host or address as servers are named that are none of SIP (RFC 9525 §6.3): names of the DNS
    /// count whatever stands beside them, and a wildcard is any first label. RFC 9525 lets the common name count for nothing;
    /// private relays have certificates with nothing else, so it counts there as RFC 6125 §6.4.4 had it.
    pub fn is_for_host(&self, asked: &str) -> bool {
        let asked = asked.trim_end_matches('.');
        let bare = asked.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return self
                .names
                .iter()
                .any(|name| matches!(name, AltName::Ip(listed) if *listed == ip));
        }
        let same = |name: &str| name.trim_end_matches('.').eq_ignore_ascii_case(asked);
        if !self.has_alt_names {
            return self.common_name.as_deref().is_some_and(same);
        }
        let parts = asked.split_once('.');
        let covers = |name: &str| match (name.trim_end_matches('.').strip_prefix("*."), parts) {
            (Some(all), Some((label, parent))) => {
                !label.is_empty() && all.eq_ignore_ascii_case(parent)
            }
            (Some(_), None) => false,
            (None, _) => same(name),
        };
        self.names
            .iter()
            .any(|name| matches!(name, AltName::Dns(name) if covers(name)))
    }

    /// The SIP domain that it is for instead, where only that keeps its DNS names from counting: where there is a SIP URI
    /// they do not (RFC 5922 §7.1).
    pub fn sip_domain_instead(&self, asked: &str) -> Option<&str> {
        let asked = asked.trim_end_matches('.');
        let same = |name: &str| name.trim_end_matches('.').eq_ignore_ascii_case(asked);
        let mut names = self.names.iter();
        let named = names.any(|name| matches!(name, AltName::Dns(host) if same(host)));
        let domain = self.names.iter().find_map(|name| match name {
            AltName::Sip(domain) => Some(domain.as_str()),
            AltName::Dns(_) | AltName::Ip(_) => None,
        });
        domain.filter(|_| named && !self.is_for(asked))
    }

    /// Whether `now` lies in its time.
    pub fn is_timely(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

impl fmt::Display for Certificate {
    /// `CN=pbx.example (pbx.example), issued by CN=Lab, valid 2026-01-01 to 2027-01-01, SHA-256 …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)?;
        let names: Vec<String> = self.names.iter().take(8).map(AltName::to_string).collect();
        if !names.is_empty() {
            write!(f, " ({})", names.join(", "))?;
        }
        write!(
            f,
            ", issued by {}, valid {} to {}, SHA-256 {}",
            self.issuer,
            day(self.not_before),
            day(self.not_after),
            self.fingerprint
        )
    }
}

/// Elements of DER, one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = digits
                    .iter()
                    .fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
                (usize::try_from(length).ok()?, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn expect(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(tag, _)| *tag == wanted)
            .map(|(_, content)| content)
    }

    fn take_if(&mut self, wanted: u8) -> Option<&'a [u8]> {
        if self.0.first() == Some(&wanted) {
            self.expect(wanted)
        } else {
            None
        }
    }
}

/// The usable names of the subjectAltName; `Some(None)` where there is none.
fn alt_names(extensions: &[u8]) -> Option<Option<Vec<AltName>>> {
    let mut list = Der(Der(extensions).expect(SEQUENCE)?);
    while let Some((_, extension)) = list.next() {
        let mut extension = Der(extension);
        let id = extension.expect(OBJECT_ID)?;
        extension.take_if(BOOLEAN);
        let value = extension.expect(OCTET_STRING)?;
        if id != SUBJECT_ALT_NAME {
            continue;
        }
        let mut names = Vec::new();
        let mut general = Der(Der(value).expect(SEQUENCE)?);
        while let Some((tag, content)) = general.next() {
            names.extend(match tag {
                NAME_DNS => Some(AltName::Dns(plain(&String::from_utf8_lossy(content)))),
                NAME_URI => sip_domain(content).map(AltName::Sip),
                NAME_IP => address(content).map(AltName::Ip),
                _ => None,
            });
        }
        return Some(Some(names));
    }
    Some(None)
}

/// The domain of `sip:domain`; a URI with a user part names a person (RFC 5922 §7.1).
fn sip_domain(uri: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(uri).ok()?;
    let (scheme, rest) = text.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("sip") || rest.contains('@') {
        return None;
    }
    let domain = rest.split([';', '?', '/']).next().unwrap_or(rest);
    let domain = match domain.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => domain,
    };
    (!domain.is_empty()).then(|| plain(domain))
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets)
            .ok()
            .map(|o| Ipv4Addr::from(o).into()),
        16 => <[u8; 16]>::try_from(octets)
            .ok()
            .map(|o| Ipv6Addr::from(o).into()),
        _ => None,
    }
}

/// The first attribute of this kind in a name.
fn attribute(name: &[u8], wanted: &[u8]) -> Option<String> {
    let mut sets = Der(name);
    while let Some((_, set)) = sets.next() {
        let mut pairs = Der(set);
        while let Some((_, pair)) = pairs.next() {
            let mut pair = Der(pair);
            let id = pair.expect(OBJECT_ID)?;
            let (tag, value) = pair.next()?;
            if id == wanted {
                return Some(plain(&text(tag, value)));
            }
        }
    }
    None
}

/// The parts of a name that people know.
fn distinguished_name(name: &[u8]) -> String {
    let parts: Vec<String> = [
        ("CN", COMMON_NAME),
        ("O", ORGANIZATION),
        ("OU", UNIT),
        ("C", COUNTRY),
    ]
    .into_iter()
    .filter_map(|(label, id)| attribute(name, id).map(|value| format!("{label}={value}")))
    .collect();
    if parts.is_empty() {
        return "no name".to_owned();
    }
    parts.join(", ")
}

fn text(tag: u8, value: &[u8]) -> String {
    match tag {
        BMP_STRING => {
            let units: Vec<u16> = value
                .chunks_exact(2)
                .map(|pair| {
                    pair.iter()
                        .fold(0, |unit, byte| unit << 8 | u16::from(*byte))
                })
                .collect();
            String::from_utf16_lossy(&units)
        }
        _ => String::from_utf8_lossy(value).into_owned(),
    }
}

/// What may be shown of a text that a stranger wrote: no control characters, and not without end.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .take(SHOWN)
        .collect()
}

/// UTCTime or GeneralizedTime (RFC 5280 §4.1.2.5).
fn time((tag, value): (u8, &[u8])) -> Option<SystemTime> {
    let digits = value.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        let digits = std::str::from_utf8(digits.get(range)?).ok()?;
        digits.parse::<i64>().ok()
    };
    let (year, at) = match (tag, digits.len()) {
        (UTC_TIME, 12) => match number(0..2)? {
            short @ 50.. => (1900 + short, 2),
            short => (2000 + short, 2),
        },
        (GENERALIZED_TIME, 14) => (number(0..4)?, 4),
        _ => return None,
    };
    let [month, day, hour, minute, second] =
        [0, 2, 4, 6, 8].map(|offset| number(at + offset..at + offset + 2));
    let days = days_since_epoch(year, month?, day?);
    let seconds = days * 86_400 + hour? * 3_600 + minute? * 60 + second?;
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, counted from March so that the leap day is the
/// last of its year.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9).rem_euclid(12);
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 306 + 5) / 10 + day - 1 - DAYS_TO_EPOCH
}

/// `2026-11-21`.
fn day(time: SystemTime) -> String {
    let seconds = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    };
    let days = seconds.div_euclid(86_400);
    // The year is guessed, rather too early than too late, and then put right.
    let mut year = 1970 + days.div_euclid(365).min(days.div_euclid(366));
    while days_since_epoch(year + 1, 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12)
        .rev()
        .find(|month| days_since_epoch(year, *month, 1) <= days)
        .unwrap_or(1);
    let day = days - days_since_epoch(year, month, 1) + 1;
    format!("{year:04}-{month:02}-{day:02}")
}

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_EPOCH: i64 = 719_468;
/// Characters of a name that are kept.
const SHOWN: usize = 256;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const BMP_STRING: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_3: u8 = 0xa3;
/// Kinds of a GeneralName.
const NAME_DNS: u8 = 0x82;
const NAME_URI: u8 = 0x86;
const NAME_IP: u8 = 0x87;

/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// 2.5.4.3, .10, .11 and .6
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
const UNIT: &[u8] = &[0x55, 0x04, 0x0b];
const COUNTRY: &[u8] = &[0x55, 0x04, 0x06];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn der(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        params
            .self_signed(&key)
            .expect("a certificate")
            .der()
            .to_vec()
    }

    fn read(change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        Certificate::read(&der(change)).expect("readable")
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().expect("ASCII"))
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().expect("ASCII"))
    }

    #[test]
    fn names_and_dates_are_read() {
        let certificate = read(|params| {
            params
                .distinguished_name
                .push(DnType::CommonName, "pbx.example\n");
            params
                .distinguished_name
                .push(DnType::OrganizationName, "Example");
            params.not_before = rcgen::date_time_ymd(1999, 12, 31);
            params.not_after = rcgen::date_time_ymd(2096, 2, 29);
            params.subject_alt_names = vec![
                dns("pbx.example"),
                uri("sip:example.org"),
                uri("sip:alice@example.org"),
                uri("https://example.org"),
                SanType::IpAddress([192, 0, 2, 1].into()),
            ];
        });
        assert_eq!(certificate.subject, "CN=pbx.example\u{fffd}, O=Example");
        assert_eq!(certificate.issuer, certificate.subject);
        assert!(certificate.is_self_issued);
        assert_eq!(day(certificate.not_before), "1999-12-31");
        assert_eq!(day(certificate.not_after), "2096-02-29");
        assert_eq!(
            certificate.names,
            [
                AltName::Dns("pbx.example".to_owned()),
                AltName::Sip("example.org".to_owned()),
                AltName::Ip([192, 0, 2, 1].into()),
            ]
        );
    }

    #[test]
    fn a_sip_uri_counts_before_dns_names() {
        let certificate =
            read(|p| p.subject_alt_names = vec![dns("pbx.example"), uri("SIP:Example.org")]);
        assert!(certificate.is_for("example.ORG"));
        assert!(certificate.is_for("example.org."));
        assert!(!certificate.is_for("pbx.example"));
        assert_eq!(
            certificate.sip_domain_instead("PBX.example."),
            Some("Example.org")
        );
        assert_eq!(certificate.sip_domain_instead("example.org"), None);
        assert_eq!(certificate.sip_domain_instead("other.example"), None);
        let plain = read(|p| p.subject_alt_names = vec![dns("pbx.example")]);
        assert_eq!(plain.sip_domain_instead("pbx.example"), None);
    }

    #[test]
    fn dns_names_match_whole_and_wildcards_never() {
        let certificate =
            read(|p| p.subject_alt_names = vec![dns("pbx.example"), dns("*.example")]);
        assert!(certificate.is_for("PBX.example"));
        for other in ["sip.example", "a.pbx.example", "example", ""] {
            assert!(!certificate.is_for(other), "{other}");
        }
    }

    /// RFC 9525 §6.3: what is no server of SIP.
    #[test]
    fn a_host_is_named_by_its_dns_name_and_a_wildcard_is_one_label() {
        let certificate = read(|p| {
            p.subject_alt_names = vec![
                uri("sip:example.org"),
                dns("relay.example"),
                dns("*.edge.example."),
                dns("*.2.0.192"),
            ];
        });
        for named in ["relay.example", "RELAY.example.", "a.Edge.example"] {
            assert!(certificate.is_for_host(named), "{named}");
        }
        for other in [
            "example.org",
            "edge.example",
            "a.b.edge.example",
            "x.relay.example",
            "1.2.0.192",
            ".edge.example",
            "relay",
            "",
        ] {
            assert!(!certificate.is_for_host(other), "{other}");
        }
        let address =
            read(|p| p.subject_alt_names = vec![SanType::IpAddress([192, 0, 2, 1].into())]);
        assert!(address.is_for_host("192.0.2.1") && !address.is_for_host("192.0.2.2"));
        let old = read(|p| {
            p.distinguished_name
                .push(DnType::CommonName, "relay.example");
        });
        assert!(old.is_for_host("relay.example") && !old.is_for_host("other.example"));
    }

    #[test]
    fn the_common_name_counts_only_without_alternative_names() {
        let named = |alt: Vec<SanType>| {
            read(|p| {
                p.distinguished_name.push(DnType::CommonName, "pbx.example");
                p.subject_alt_names = alt;
            })
        };
        assert!(named(Vec::new()).is_for("pbx.example"));
        assert!(!named(vec![dns("other.example")]).is_for("pbx.example"));
        assert!(!named(vec![uri("https://x.example")]).is_for("pbx.example"));
    }

    #[test]
    fn an_address_matches_an_address() {
        let certificate = read(|p| {
            p.subject_alt_names = vec![
                SanType::IpAddress([192, 0, 2, 1].into()),
                SanType::IpAddress("2001:db8::1".parse().expect("an address")),
            ];
        });
        assert!(certificate.is_for("192.0.2.1"));
        assert!(certificate.is_for("[2001:DB8:0::1]"));
        assert!(!certificate.is_for("192.0.2.2"));
    }

    #[test]
    fn a_fingerprint_can_be_written_and_read() {
        let fingerprint = Fingerprint::of(b"certificate");
        let text = fingerprint.to_string();
        assert_eq!(text.len(), 95);
        assert_eq!(text.parse(), Ok(fingerprint));
        assert_eq!(
            text.replace(':', "").to_ascii_lowercase().parse(),
            Ok(fingerprint)
        );
        for bad in ["", "AB", &text[1..], &format!("{text}0")] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(NoFingerprint), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn days_survive_the_round_trip(days in -200_000_i64..200_000) {
            let seconds = Duration::from_secs(days.unsigned_abs() * 86_400);
            let at = if days < 0 { UNIX_EPOCH - seconds } else { UNIX_EPOCH + seconds };
            let text = day(at);
            let mut parts = text.rsplitn(3, '-');
            let mut number = || parts.next().and_then(|p| p.parse::<i64>().ok()).unwrap_or(0);
            let (day, month, year) = (number(), number(), number());
            prop_assert_eq!(days_since_epoch(year, month, day), days);
            prop_assert!((1..=12).contains(&month) && (1..=31).contains(&day));
        }

        #[test]
        fn nothing_in_a_certificate_panics(at in 0_usize..400, byte: u8, cut in 0_usize..600) {
            let mut bytes = der(|p| p.subject_alt_names = vec![dns("a.example"), uri("sip:b")]);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            if let Some(certificate) = Certificate::read(&bytes) {
                let _ = (certificate.to_string(), certificate.is_for("a.example"));
            }
            bytes.truncate(cut);
            let _ = Certificate::read(&bytes);
        }
    }
}
