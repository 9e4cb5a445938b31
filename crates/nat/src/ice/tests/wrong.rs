//! Messages of the peer that are wrong in one thing: what is said to each.

use super::*;
use crate::message::{Draft, Key};
use crate::stun::{Binding, TransactionId};

/// A question of the peer `r` to the agent of `l`, as the given attributes make it.
pub(super) struct Asking {
    draft: Draft,
}

const ID: TransactionId = TransactionId([7; 12]);
pub(super) const PEERS_PLACE: &str = "192.0.2.9:4000";

impl Asking {
    pub(super) fn new() -> Self {
        let name = format!("{}:{}", credentials("l").ufrag, credentials("r").ufrag);
        Self {
            draft: Draft::new(1, ID).with(message::USERNAME, name.as_bytes()),
        }
    }

    fn bare() -> Self {
        Self {
            draft: Draft::new(1, ID),
        }
    }

    fn with(self, kind: u16, value: &[u8]) -> Self {
        Self {
            draft: self.draft.with(kind, value),
        }
    }

    pub(super) fn usual(self) -> Self {
        self.with(message::PRIORITY, &1_000_000_u32.to_be_bytes())
            .with(message::ICE_CONTROLLED, &5_u64.to_be_bytes())
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.draft
            .finish(Some(&Key::short_term(&credentials("l").pwd)))
    }
}

/// What the agent says to one datagram: nothing (None where it is none of its business), success, or the code.
fn said(datagram: &[u8]) -> Option<Vec<u16>> {
    let left = session("l", "r", "192.0.2.1:4000", &[], true);
    let now = Instant::now();
    let mut agent = Agent::new(now, &left);
    while !matches!(agent.poll_output(), Output::Deadline(_)) {}
    if !agent.handle_datagram(now, datagram, direct(at(PEERS_PLACE))) {
        return None;
    }
    let mut said = Vec::new();
    loop {
        match agent.poll_output() {
            Output::Transmit { datagram, .. } => {
                let view = View::parse(&datagram).unwrap();
                match view.kind {
                    0x0101 => said.push(200),
                    0x0111 => said.push(view.error().unwrap().0),
                    _ => {}
                }
                if view.error().is_some_and(|(code, _)| code == 420) {
                    assert_eq!(
                        view.get(message::UNKNOWN_ATTRIBUTES),
                        Some(&[0x7f, 0xff][..])
                    );
                }
            }
            Output::Event(_) => {}
            Output::Deadline(_) => return Some(said),
        }
    }
}

/// A datagram whose length is put right, with a proof and a fingerprint where they are wanted.
fn raw(attributes: &[(u16, &[u8])], proved: bool) -> Vec<u8> {
    let mut asking = Asking::bare();
    for (kind, value) in attributes {
        asking = asking.with(*kind, value);
    }
    match proved {
        true => asking.finish(),
        false => asking.draft.finish(None),
    }
}

/// RFC 8489 §6.3, §9.1.3, §14 and RFC 8445 §7.3, attribute by attribute.
#[test]
fn each_attribute_of_a_question_that_is_wrong_is_met_as_the_rules_say() {
    let name = format!("{}:{}", credentials("l").ufrag, credentials("r").ufrag);
    let name = name.as_bytes();
    let priority = 1_000_000_u32.to_be_bytes();
    let role = 5_u64.to_be_bytes();
    let usual = || Asking::new().usual();
    let good = usual().finish();
    let edit = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut datagram = good.clone();
        change(&mut datagram);
        datagram
    };
    // From where an attribute begins on, without the fingerprint being put right.
    let place_of = |kind: u16| {
        let found = good.windows(2).enumerate().skip(20).step_by(4);
        let mut found = found.filter(|(_, two)| *two == kind.to_be_bytes());
        found.next().map(|(place, _)| place).unwrap()
    };
    let lie = |kind: u16, length: u16| {
        let place = place_of(kind);
        edit(&|datagram| datagram[place + 2..place + 4].copy_from_slice(&length.to_be_bytes()))
    };
    type Case<'a> = (&'a str, Vec<u8>, Option<&'a [u16]>);
    let cases: Vec<Case<'_>> = vec![
        ("a good one", good.clone(), Some(&[200])),
        // Framing.
        ("too short", good[..19].to_vec(), None),
        ("cut in an attribute", good[..good.len() - 5].to_vec(), None),
        (
            "cut between attributes",
            good[..good.len() - 8].to_vec(),
            None,
        ),
        ("longer than it says", [&good[..], &[0; 4]].concat(), None),
        (
            "a length that is no multiple of four",
            edit(&|d| d[3] += 1),
            None,
        ),
        ("no cookie", edit(&|d| d[4] ^= 1), None),
        ("a first bit", edit(&|d| d[0] |= 0x80), None),
        ("another method", edit(&|d| d[1] = 3), None),
        ("an indication", edit(&|d| d[1] = 0x11), None),
        (
            "an attribute beyond the end",
            lie(message::FINGERPRINT, 400),
            None,
        ),
        (
            "an attribute that swallows those behind it",
            lie(message::PRIORITY, 16),
            Some(&[]),
        ),
        (
            "a name that swallows all",
            lie(message::USERNAME, u16::MAX),
            None,
        ),
        // USERNAME.
        (
            "no name",
            raw(
                &[
                    (message::PRIORITY, &priority),
                    (message::ICE_CONTROLLED, &role),
                ],
                true,
            ),
            None,
        ),
        (
            "another's name",
            raw(
                &[(message::USERNAME, b"x:y"), (message::PRIORITY, &priority)],
                true,
            ),
            None,
        ),
        (
            "half a name",
            raw(
                &[
                    (message::USERNAME, &name[..4]),
                    (message::PRIORITY, &priority),
                ],
                true,
            ),
            None,
        ),
        (
            "a name that is no text",
            raw(
                &[
                    (message::USERNAME, &[0xff, b':', 0xfe]),
                    (message::PRIORITY, &priority),
                ],
                true,
            ),
            None,
        ),
        (
            "an empty name",
            raw(
                &[(message::USERNAME, b""), (message::PRIORITY, &priority)],
                true,
            ),
            None,
        ),
        (
            "two names, of which the first counts",
            Asking::new()
                .with(message::USERNAME, b"x:y")
                .usual()
                .finish(),
            Some(&[200]),
        ),
        // MESSAGE-INTEGRITY.
        (
            "no proof",
            Asking::new().usual().draft.finish(None),
            Some(&[400]),
        ),
        (
            "a wrong proof",
            Asking::new()
                .usual()
                .draft
                .finish(Some(&Key::short_term("another password"))),
            Some(&[401]),
        ),
        (
            "a proof of wrong length",
            Asking::new()
                .usual()
                .with(message::MESSAGE_INTEGRITY, &[1; 16])
                .draft
                .finish(None),
            Some(&[401]),
        ),
        (
            "an empty proof",
            Asking::new()
                .usual()
                .with(message::MESSAGE_INTEGRITY, b"")
                .draft
                .finish(None),
            Some(&[401]),
        ),
        (
            "a bit of it turned",
            edit(&|d| d[place_of(message::MESSAGE_INTEGRITY) + 6] ^= 1),
            Some(&[]),
        ),
        // FINGERPRINT.
        (
            "a wrong fingerprint",
            edit(&|d| *d.last_mut().unwrap() ^= 1),
            Some(&[]),
        ),
        (
            "an attribute behind the fingerprint",
            {
                let mut late = good.clone();
                late.extend([0x80, 0x22, 0, 0]);
                let length = u16::try_from(late.len() - 20).unwrap().to_be_bytes();
                late[2..4].copy_from_slice(&length);
                late
            },
            Some(&[]),
        ),
        (
            "a proof behind the fingerprint",
            {
                let bytes = Asking::new().usual().draft.finish(None);
                Draft::reopen(bytes).finish(Some(&Key::short_term(&credentials("l").pwd)))
            },
            Some(&[]),
        ),
        (
            "no fingerprint at all",
            {
                let mut short = good[..good.len() - 8].to_vec();
                let length = u16::try_from(short.len() - 20).unwrap().to_be_bytes();
                short[2..4].copy_from_slice(&length);
                short
            },
            Some(&[200]),
        ),
        // PRIORITY.
        (
            "no priority",
            Asking::new().with(message::ICE_CONTROLLED, &role).finish(),
            Some(&[400]),
        ),
        (
            "a short priority",
            Asking::new().with(message::PRIORITY, &[1, 2]).finish(),
            Some(&[400]),
        ),
        (
            "a long priority",
            Asking::new().with(message::PRIORITY, &[1; 8]).finish(),
            Some(&[400]),
        ),
        (
            "a priority of nothing",
            Asking::new().with(message::PRIORITY, &[0; 4]).finish(),
            Some(&[400]),
        ),
        (
            "a priority above all",
            Asking::new().with(message::PRIORITY, &[0xff; 4]).finish(),
            Some(&[400]),
        ),
        (
            "a priority behind the proof",
            {
                let mut bytes = Asking::new().with(message::ICE_CONTROLLED, &role).finish();
                bytes.truncate(bytes.len() - 8);
                Draft::reopen(bytes)
                    .with(message::PRIORITY, &priority)
                    .finish(None)
            },
            Some(&[400]),
        ),
        // Roles.
        (
            "no role",
            Asking::new().with(message::PRIORITY, &priority).finish(),
            Some(&[200]),
        ),
        (
            "both roles",
            usual().with(message::ICE_CONTROLLING, &role).finish(),
            Some(&[400]),
        ),
        (
            "the same role and less",
            Asking::new()
                .with(message::PRIORITY, &priority)
                .with(message::ICE_CONTROLLING, &[0; 8])
                .finish(),
            Some(&[487]),
        ),
        (
            "the same role and more",
            Asking::new()
                .with(message::PRIORITY, &priority)
                .with(message::ICE_CONTROLLING, &[0xff; 8])
                .finish(),
            Some(&[200]),
        ),
        (
            "a short role is none",
            Asking::new()
                .with(message::PRIORITY, &priority)
                .with(message::ICE_CONTROLLING, &[0; 4])
                .finish(),
            Some(&[200]),
        ),
        // The rest.
        (
            "USE-CANDIDATE from who does not nominate",
            usual().with(message::USE_CANDIDATE, b"").finish(),
            Some(&[200]),
        ),
        (
            "USE-CANDIDATE with something in it",
            usual().with(message::USE_CANDIDATE, &[1; 9]).finish(),
            Some(&[200]),
        ),
        (
            "one that must be understood",
            usual().with(0x7fff, &[1, 2, 3]).finish(),
            Some(&[420]),
        ),
        (
            "one that must not",
            usual().with(0xbfff, &[1, 2, 3]).finish(),
            Some(&[200]),
        ),
        (
            "one that must be understood, behind the proof",
            {
                let mut bytes = usual().finish();
                bytes.truncate(bytes.len() - 8);
                Draft::reopen(bytes).with(0x7fff, &[0; 4]).finish(None)
            },
            Some(&[200]),
        ),
        (
            "words about the program",
            usual().with(message::SOFTWARE, &[0xff; 700]).finish(),
            Some(&[200]),
        ),
        (
            "addresses that a question has not",
            usual().with(message::XOR_MAPPED_ADDRESS, &[0; 3]).finish(),
            Some(&[200]),
        ),
        (
            "an error in a question",
            usual().with(message::ERROR_CODE, &[0; 1]).finish(),
            Some(&[200]),
        ),
        (
            "a thousand attributes",
            (0..1_000)
                .fold(usual(), |asking, n| asking.with(0x9000 + n, b""))
                .finish(),
            Some(&[200]),
        ),
    ];
    for (what, datagram, wanted) in cases {
        assert_eq!(said(&datagram).as_deref(), wanted, "{what}");
    }
}

/// What an agent of `l` makes of an answer to its first question: whether a way is found by it.
fn is_convinced(answer: impl Fn(TransactionId, &Key) -> Vec<u8>, from: &str) -> bool {
    let left = session("l", "r", "192.0.2.1:4000", &[PEER], true);
    let now = Instant::now();
    let mut agent = Agent::new(now, &left);
    let Output::Transmit { datagram, .. } = agent.poll_output() else {
        panic!("it asks at once");
    };
    let id = View::parse(&datagram).unwrap().id;
    let key = Key::short_term(&credentials("r").pwd);
    agent.handle_datagram(now, &answer(id, &key), direct(at(from)));
    agent.selected().is_some()
}

/// RFC 8445 §7.2.5, RFC 8489 §6.3.3, §9.1.4.
#[test]
fn an_answer_that_is_wrong_in_anything_shows_no_way() {
    let mapped = |id| crate::stun::mask(at("192.0.2.1:4000"), id);
    let good = |id, key: &Key| {
        let draft = Draft::new(0x0101, id);
        draft
            .with(message::XOR_MAPPED_ADDRESS, &mapped(id))
            .finish(Some(key))
    };
    assert!(is_convinced(good, PEERS_PLACE));
    assert!(!is_convinced(good, "192.0.2.9:4001"), "from another port");
    assert!(!is_convinced(good, "192.0.2.8:4000"), "from another host");
    type Answer<'a> = Box<dyn Fn(TransactionId, &Key) -> Vec<u8> + 'a>;
    let cases: Vec<(&str, Answer<'_>)> = vec![
        ("another question's", Box::new(move |_, key| good(ID, key))),
        (
            "by who does not know the password",
            Box::new(move |id, _| good(id, &Key::short_term("guess"))),
        ),
        (
            "without a proof",
            Box::new(move |id, _| {
                Draft::new(0x0101, id)
                    .with(message::XOR_MAPPED_ADDRESS, &mapped(id))
                    .finish(None)
            }),
        ),
        (
            "without an address",
            Box::new(|id, key| Draft::new(0x0101, id).finish(Some(key))),
        ),
        (
            "with half an address",
            Box::new(|id, key| {
                Draft::new(0x0101, id)
                    .with(message::XOR_MAPPED_ADDRESS, &[0, 1, 2])
                    .finish(Some(key))
            }),
        ),
        (
            "with an address of no family",
            Box::new(|id, key| {
                Draft::new(0x0101, id)
                    .with(message::XOR_MAPPED_ADDRESS, &[0, 9, 1, 2, 3, 4, 5, 6])
                    .finish(Some(key))
            }),
        ),
        (
            "with something that must be understood",
            Box::new(move |id, key| {
                let draft = Draft::new(0x0101, id).with(message::XOR_MAPPED_ADDRESS, &mapped(id));
                draft.with(0x7ffe, &[]).finish(Some(key))
            }),
        ),
        (
            "with a wrong fingerprint",
            Box::new(move |id, key| {
                let mut bytes = good(id, key);
                *bytes.last_mut().unwrap() ^= 1;
                bytes
            }),
        ),
        (
            "an error",
            Box::new(|id, key| {
                Draft::new(0x0111, id)
                    .with(message::ERROR_CODE, &[0, 0, 5, 0])
                    .finish(Some(key))
            }),
        ),
        (
            "an error without a number",
            Box::new(|id, key| Draft::new(0x0111, id).finish(Some(key))),
        ),
    ];
    for (what, answer) in cases {
        assert!(!is_convinced(answer, PEERS_PLACE), "{what}");
    }
}

/// RFC 8445 §7.2.5.1: only with a proof does a 487 change the role, and a late one does not change it back.
#[test]
fn a_conflict_that_nobody_vouches_for_changes_no_role() {
    let left = session("l", "r", "192.0.2.1:4000", &[PEER], true);
    let now = Instant::now();
    let mut agent = Agent::new(now, &left);
    let ask = |agent: &mut Agent, at: Instant| {
        agent.handle_timeout(at);
        let mut asked = Vec::new();
        loop {
            match agent.poll_output() {
                Output::Transmit { datagram, .. } => asked.push(datagram),
                Output::Event(_) => {}
                Output::Deadline(_) => return asked,
            }
        }
    };
    let is_controlling = |datagram: &[u8]| {
        let view = View::parse(datagram).unwrap();
        assert_ne!(
            view.get(message::ICE_CONTROLLING).is_some(),
            view.get(message::ICE_CONTROLLED).is_some()
        );
        view.get(message::ICE_CONTROLLING).is_some()
    };
    let first = ask(&mut agent, now);
    assert!(is_controlling(&first[0]));
    let id = View::parse(&first[0]).unwrap().id;
    let key = Key::short_term(&credentials("r").pwd);
    let conflict = |key| {
        Draft::new(0x0111, id)
            .with(message::ERROR_CODE, &[0, 0, 4, 87])
            .finish(key)
    };
    let way = direct(at(PEERS_PLACE));
    agent.handle_datagram(now, &conflict(None), way);
    let guess = Key::short_term("guess");
    agent.handle_datagram(now, &conflict(Some(&guess)), way);
    let soon = now + Duration::from_millis(600);
    let again = ask(&mut agent, soon);
    assert!(again.iter().all(|datagram| is_controlling(datagram)) && !again.is_empty());
    agent.handle_datagram(soon, &conflict(Some(&key)), way);
    let changed = ask(&mut agent, soon + Duration::from_millis(60));
    assert!(!is_controlling(changed.last().unwrap()));
    agent.handle_datagram(soon, &conflict(Some(&key)), way);
    let later = ask(&mut agent, soon + Duration::from_millis(700));
    assert!(later.iter().all(|datagram| !is_controlling(datagram)));
}

/// The sample request of RFC 5769 §2.1.
#[test]
fn the_sample_request_with_a_short_term_secret_is_answered() {
    let mut request = vec![0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42];
    request.extend([
        0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
    ]);
    request.extend([0x80, 0x22, 0x00, 0x10]);
    request.extend(b"STUN test client");
    request.extend([0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff]);
    request.extend([
        0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36,
    ]);
    request.extend([0x00, 0x06, 0x00, 0x09]);
    request.extend(b"evtj:h6vY   ");
    request.extend([0x00, 0x08, 0x00, 0x14]);
    request.extend([0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e]);
    request.extend([0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49, 0xc1, 0xb5, 0x71, 0xa2]);
    request.extend([0x80, 0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf]);
    let name = |ufrag: &str, pwd: &str| Credentials {
        ufrag: ufrag.to_owned(),
        pwd: pwd.to_owned(),
    };
    let session = Session {
        local: name("evtj", "VOkJxbRl1RmTxUk/WvJxBt"),
        remote: name("h6vY", "a+password+of+22+signs"),
        ..session("l", "r", "192.0.2.1:4000", &[], true)
    };
    let now = Instant::now();
    let mut agent = Agent::new(now, &session);
    let from = at("192.0.2.9:32853");
    assert!(agent.handle_datagram(now, &request, direct(from)));
    let Output::Transmit { datagram, way } = agent.poll_output() else {
        panic!("it answers");
    };
    assert_eq!(way, direct(from));
    let read = Binding::read(&datagram);
    assert!(matches!(read, Some(Binding::Success(_, Some(seen))) if seen == from));
}
