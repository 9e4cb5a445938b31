//! What a description says about ICE (RFC 8839): credentials and candidates.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::crypto::KeySeed;

/// Candidates of a line that are read, of each of its two components; further ones are not.
const MOST_CANDIDATES: usize = 32;

/// `ice-char` (RFC 8839 §5.1).
const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The priority of the only candidate, where nobody has told us of any (RFC 8445 §5.1.2.1).
const HOST: u32 = (126 << 24) + (65_535 << 8) + 255;

/// The component of the reports (RFC 8839 §5.1).
const REPORTS: &str = "2";

/// What shows that a check belongs to a session.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IceCredentials {
    /// `a=ice-ufrag`.
    pub ufrag: String,
    /// `a=ice-pwd`.
    pub pwd: String,
}

/// Without the password.
impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceCredentials")
            .field("ufrag", &self.ufrag)
            .finish_non_exhaustive()
    }
}

impl IceCredentials {
    /// From the values of both attributes; none unless they are of the lengths and signs of RFC 8839 §5.4.
    pub(crate) fn parse(ufrag: &str, pwd: &str) -> Option<Self> {
        let fits = |text: &str, least: usize| {
            (least..=256).contains(&text.len()) && text.bytes().all(|b| SIGNS.contains(&b))
        };
        let (ufrag, pwd) = (ufrag.trim(), pwd.trim());
        (fits(ufrag, 4) && fits(pwd, 22)).then(|| Self {
            ufrag: ufrag.to_owned(),
            pwd: pwd.to_owned(),
        })
    }
}

/// What both sides agreed to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedIce {
    /// Ours.
    pub local: IceCredentials,
    /// Theirs.
    pub remote: IceCredentials,
    /// Their candidates, each the value of its attribute; those for reports only where those do not share the port of the
    /// media.
    pub candidates: Vec<String>,
    /// Whether we nominate: who offered does, and who faces a lite peer (RFC 8445 §6.1.1).
    pub controlling: bool,
}

/// Their side, as read from a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TheirIce {
    pub(crate) credentials: IceCredentials,
    pub(crate) candidates: Vec<String>,
    pub(crate) lite: bool,
    /// Where the line says that media goes is none of the candidates: something between has put another address there
    /// (RFC 8839 §4.2.5).
    pub(crate) mismatch: bool,
}

/// The candidates of both components among the values of `a=candidate`.
pub(crate) fn candidates<'a>(values: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut counts = [0; 2];
    let mut fits = |value: &&str| {
        let count = match value.split_whitespace().nth(1) {
            Some("1") => counts.first_mut(),
            Some(REPORTS) => counts.last_mut(),
            _ => None,
        };
        let Some(count) = count else { return false };
        *count += 1;
        *count <= MOST_CANDIDATES
    };
    let values = values.take(8 * MOST_CANDIDATES);
    values
        .filter(|value| fits(value))
        .map(str::to_owned)
        .collect()
}

/// Whether none of the candidates is where the line says that media goes. Who has not found its own yet names the address of
/// nobody (RFC 8840 §4.1.1), and of one that has a name nobody knows whose it is.
pub(crate) fn leaves_out(candidates: &[String], told: SocketAddr) -> bool {
    const DISCARD: u16 = 9;
    let place = |value: &String| {
        let words: Vec<&str> = value.split_whitespace().collect();
        let [_, "1", _, _, address, port, ..] = words.as_slice() else {
            return None;
        };
        let address = address.parse::<IpAddr>().map_err(|_| ());
        Some(address.map(|ip| (ip, port.parse().ok())))
    };
    let mut places = candidates.iter().filter_map(place).peekable();
    let is_open = told.ip().is_unspecified() || told.port() == DISCARD || places.peek().is_none();
    !is_open && places.all(|place| place.is_ok_and(|place| place != (told.ip(), Some(told.port()))))
}

/// Whether this is a candidate for reports.
pub(crate) fn is_for_reports(value: &str) -> bool {
    value.split_whitespace().nth(1) == Some(REPORTS)
}

/// So many random signs of six bits each.
pub(crate) fn signs(random: &mut ChaCha20Rng, length: usize) -> String {
    let mut bytes = vec![0; length];
    random.fill_bytes(&mut bytes);
    let signs = bytes.iter().map(|byte| SIGNS[usize::from(byte % 64)]);
    signs.map(char::from).collect()
}

/// Our side.
#[derive(Debug, Clone)]
pub(crate) struct OurIce {
    seed: KeySeed,
    drawn: u64,
    pub(crate) credentials: IceCredentials,
    /// Our candidates, each the value of its attribute.
    pub(crate) ways: Option<Vec<String>>,
}

impl OurIce {
    pub(crate) fn new(seed: KeySeed) -> Self {
        let mut ours = Self {
            seed,
            drawn: 0,
            credentials: IceCredentials {
                ufrag: String::new(),
                pwd: String::new(),
            },
            ways: None,
        };
        ours.renew();
        ours
    }

    /// Other credentials from here on: a restart (RFC 8445 §9).
    pub(crate) fn renew(&mut self) {
        let mut random = ChaCha20Rng::from_seed(*self.seed.reveal());
        // The keys of the media draw from the first half of the streams.
        random.set_stream(u64::MAX - self.drawn);
        self.drawn += 1;
        self.credentials = IceCredentials {
            ufrag: signs(&mut random, 8),
            pwd: signs(&mut random, 24),
        };
    }

    /// Is called as `before` again, and is at its places. What is drawn later is another name all the same.
    pub(crate) fn take_back(&mut self, before: &Self) {
        self.credentials = before.credentials.clone();
        self.ways.clone_from(&before.ways);
    }

    /// The attributes of our line; `told` is the address in it. Where reports share the port of the media there is nothing
    /// to say about theirs (RFC 8445 §4, RFC 5761 §5.1.3).
    pub(crate) fn attributes(
        &self,
        told: SocketAddr,
        tells_reports: bool,
    ) -> Vec<(&'static str, String)> {
        let alone = || {
            vec![format!(
                "1 1 udp {HOST} {} {} typ host",
                told.ip(),
                told.port()
            )]
        };
        let candidates = self.ways.clone().unwrap_or_else(alone).into_iter();
        let candidates = candidates.filter(|value| tells_reports || !is_for_reports(value));
        let names = [
            ("ice-ufrag", self.credentials.ufrag.clone()),
            ("ice-pwd", self.credentials.pwd.clone()),
            ("ice-options", "ice2".to_owned()),
        ];
        let candidates = candidates.map(|value| ("candidate", value));
        names.into_iter().chain(candidates).collect()
    }
}
