//! What a description says about ICE (RFC 8839): credentials and candidates.

use std::fmt;
use std::net::SocketAddr;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::crypto::KeySeed;

/// Candidates of a line that are read; further ones are not.
const MOST_CANDIDATES: usize = 32;

/// `ice-char` (RFC 8839 §5.1).
const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Priorities of our kinds of candidates, for the one component (RFC 8445 §5.1.2.1).
const HOST: u32 = (126 << 24) + (65_535 << 8) + 255;
const SEEN: u32 = (100 << 24) + (65_535 << 8) + 255;
const RELAYED: u32 = (65_535 << 8) + 255;

/// The places of our media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalWays {
    /// Where the socket is.
    pub base: SocketAddr,
    /// Where the world sees it, where that is another place.
    pub mapped: Option<SocketAddr>,
    /// Its address at a relay.
    pub relayed: Option<SocketAddr>,
}

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
    /// Their candidates for the media, each the value of its attribute.
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
}

/// The candidates of the first component among the values of `a=candidate`.
pub(crate) fn candidates<'a>(values: impl Iterator<Item = &'a str>) -> Vec<String> {
    let values = values.take(2 * MOST_CANDIDATES);
    let first = values.filter(|value| value.split_whitespace().nth(1) == Some("1"));
    first.take(MOST_CANDIDATES).map(str::to_owned).collect()
}

/// Our side.
#[derive(Debug, Clone)]
pub(crate) struct OurIce {
    seed: KeySeed,
    drawn: u64,
    pub(crate) credentials: IceCredentials,
    pub(crate) ways: Option<LocalWays>,
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
        let mut text = |length: usize| {
            let mut bytes = vec![0; length];
            random.fill_bytes(&mut bytes);
            let signs = bytes.iter().map(|byte| SIGNS[usize::from(byte % 64)]);
            signs.map(char::from).collect::<String>()
        };
        self.credentials = IceCredentials {
            ufrag: text(8),
            pwd: text(24),
        };
    }

    /// Is called as `before` again, and is at its places. What is drawn later is another name all the same.
    pub(crate) fn take_back(&mut self, before: &Self) {
        self.credentials = before.credentials.clone();
        self.ways = before.ways;
    }

    /// The attributes of our line; `told` is the address in it.
    pub(crate) fn attributes(&self, told: SocketAddr) -> Vec<(&'static str, String)> {
        let LocalWays {
            base,
            mapped,
            relayed,
        } = self.ways.unwrap_or(LocalWays {
            base: told,
            mapped: None,
            relayed: None,
        });
        let place = |at: SocketAddr| format!("{} {}", at.ip(), at.port());
        let mut attributes = vec![
            ("ice-ufrag", self.credentials.ufrag.clone()),
            ("ice-pwd", self.credentials.pwd.clone()),
            ("ice-options", "ice2".to_owned()),
            (
                "candidate",
                format!("1 1 udp {HOST} {} typ host", place(base)),
            ),
        ];
        let others = [(2, mapped, SEEN, "srflx"), (3, relayed, RELAYED, "relay")];
        for (foundation, at, priority, kind) in others {
            let Some(at) = at.filter(|at| *at != base) else {
                continue;
            };
            // RFC 8839 §5.1: what it was seen from, which for a relay is what is seen there.
            let related = mapped.filter(|_| kind == "relay").unwrap_or(base);
            let candidate = format!(
                "{foundation} 1 udp {priority} {} typ {kind} raddr {} rport {}",
                place(at),
                related.ip(),
                related.port()
            );
            attributes.push(("candidate", candidate));
        }
        attributes
    }
}
