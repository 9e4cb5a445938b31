//! One call of hours between two user agents, in virtual time, over a network that loses, doubles, delays and reorders, in
//! which everything happens that can happen to the signalling of a call, again and again: it goes on, both sides agree on it,
//! neither holds more memory in the end than after the first time round, and nothing is left behind.
//!
//! A round lasts ten minutes. Two of them are run; `TIPRING_HOURS` asks for more, which is what
//! `cargo xtask bench hours` does.
//!
//! What does not happen, since a call cannot make it happen while it is up: an INVITE of ours without an offer within the call,
//! a challenge within it (who answers a call asks for no login), reliable provisional answers and forks, which come before it is
//! up, and Replaces and Join, which are other calls. OPTIONS, MESSAGE and SUBSCRIBE within the dialog a call answers and never
//! sends: they are written by the test.

#[path = "hours/phone.rs"]
mod phone;

#[path = "hours/happenings.rs"]
mod happenings;

use std::cell::Cell;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use happenings::HAPPENINGS;
use phone::{Phone, branch_of, direction, line};
use sip_core::call::{CallConfig, CallEvent, EndKind, Phase, SessionTimer};
use sip_core::dialog::{Dialog, DialogState};
use sip_message::{HeaderName, Method, NameAddr, Request};
use testkit::{Counting, Fate, Link, NodeId, World};

thread_local! {
    /// Bytes that were taken and not given back.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting(count);

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const ROUND: Duration = Duration::from_secs(600);
/// 64·T1 (RFC 3261 §17): after that nobody repeats anything.
const PATIENCE: Duration = Duration::from_secs(32);
/// Refreshed after 60 s, over after 88 s (RFC 4028 §10).
const INTERVAL: Duration = Duration::from_secs(120);

/// What the end may hold beyond what was held after the first round.
const MOST_MORE: isize = 256;

const CALLER: usize = 0;
const CALLEE: usize = 1;
const BOTH: [usize; 2] = [CALLER, CALLEE];
const NAMES: [&str; 2] = ["alice", "bob"];

/// One in ten is lost, one in ten comes twice, one in ten comes after those behind it.
const ROUGH: Link = Link {
    loss: 100,
    ..Link::BAD
};

/// Where each is, and where it moves to.
fn address(who: usize, away: bool) -> SocketAddr {
    let last = 10 * (1 + who) + usize::from(away);
    let ip = [192, 0, 2, u8::try_from(last).expect("a small number")];
    SocketAddr::from((ip, 5060))
}

/// What has travelled.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    messages: u64,
    lost: u64,
    twice: u64,
    refusals: u64,
}

/// The two, and the network between them.
struct Town {
    net: World<Vec<u8>, Phone>,
    ids: [NodeId; 2],
    /// What the session is to be, as the last change wanted it.
    codec: String,
    ptime: String,
    round: u64,
    /// Requests that no call has written.
    written: u64,
    tally: Tally,
}

impl Town {
    /// The call is up.
    fn begin(seed: u64) -> Self {
        let mut net = World::new(seed);
        let ids = BOTH.map(|who| {
            let local = format!("<sip:{}@example.com>", NAMES[who]);
            let local = NameAddr::parse(&local).expect("an address");
            let mut config = CallConfig::new(local, NAMES[who]).with_transfers();
            config.session_timer = SessionTimer {
                interval: Some(INTERVAL),
                ..SessionTimer::default()
            };
            let home = address(who, false);
            let number = 2 * seed + who as u64;
            let id = net.add(home, Phone::new(home, config, number));
            net.bind(address(who, true), id);
            id
        });
        net.set_link(ROUGH);
        let mut town = Self {
            net,
            ids,
            codec: "0 PCMU/8000".to_owned(),
            ptime: "20".to_owned(),
            round: 0,
            written: 0,
            tally: Tally::default(),
        };
        let target = format!("sip:bob@{}", address(CALLEE, false));
        town.act(CALLER, |phone, now| phone.dial(now, &target));
        town.until("it rings", |town| {
            town.is_told(CALLER, |event| matches!(event, CallEvent::Progress { .. }))
        });
        town.wait(3 * SECOND);
        town.act(CALLEE, Phone::answer);
        let up = |event: &CallEvent| matches!(event, CallEvent::Established);
        town.until("it is taken", |town| {
            BOTH.into_iter().all(|who| town.is_told(who, up))
        });
        town.agree("the beginning");
        town
    }

    /// Lets the person at a phone do something.
    fn act<R>(&mut self, who: usize, verb: impl FnOnce(&mut Phone, Instant) -> R) -> R {
        self.net.with(self.ids[who], |phone, now, out| {
            let result = verb(phone, now);
            phone.drain(now, out);
            result
        })
    }

    fn phone(&self, who: usize) -> &Phone {
        self.net.node(self.ids[who])
    }

    fn phone_mut(&mut self, who: usize) -> &mut Phone {
        self.net.node_mut(self.ids[who])
    }

    fn wait(&mut self, time: Duration) {
        self.net.run_for(time);
    }

    /// Waits for something, as long as a request may take to fail and be tried again.
    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..1_000 {
            if done(self) {
                return;
            }
            self.wait(100 * MS);
        }
        for traced in self.net.trace().iter().take(30) {
            let text = &traced.packet.payload;
            let first = String::from_utf8_lossy(text)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned();
            let (number, timer) = (line(text, "CSeq: "), line(text, "Session-Expires: "));
            eprintln!(
                "{:?} {:?} {} {first} {number} {timer}",
                traced.at, traced.fate, traced.packet.from
            );
        }
        for who in BOTH {
            eprintln!(
                "{:?} {:?}",
                self.phone(who).call,
                self.phone(who).told.iter().map(name_of).collect::<Vec<_>>()
            );
        }
        panic!("round {}, not within 100 s: {what}", self.round);
    }

    fn is_told(&self, who: usize, wanted: impl Fn(&CallEvent) -> bool) -> bool {
        self.phone(who).told.iter().any(wanted)
    }

    /// What was told and said so far is past.
    fn forget(&mut self) {
        for who in BOTH {
            self.phone_mut(who).told = Vec::new();
        }
        for traced in self.net.take_trace() {
            let tally = &mut self.tally;
            tally.messages += 1;
            tally.lost += u64::from(traced.fate == Fate::Lost);
            tally.twice += u64::from(traced.fate == Fate::Carried { copies: 2 });
            let text = &traced.packet.payload;
            tally.refusals += u64::from(text.starts_with(b"SIP/2.0 4"));
        }
    }

    /// Those of the messages since the last look that this one has sent and that begin so, without repeats.
    fn said(&self, who: usize, begins: &str) -> Vec<Vec<u8>> {
        let from = [address(who, false), address(who, true)];
        let mut said: Vec<Vec<u8>> = Vec::new();
        for traced in self.net.trace() {
            let (sender, bytes) = (traced.packet.from, &traced.packet.payload);
            if from.contains(&sender) && bytes.starts_with(begins.as_bytes()) {
                said.push(bytes.clone());
            }
        }
        said.dedup();
        said
    }

    /// The call is up, and both sides have the same of it: at the latest when all that was lost on its way has come again.
    fn agree(&mut self, what: &str) {
        for _ in 0..600 {
            if self.difference().is_none() {
                return;
            }
            self.wait(100 * MS);
        }
        let difference = self.difference().unwrap_or_default();
        panic!("round {}, {what}: {difference}", self.round);
    }

    /// Where the call is not up or the sides do not agree.
    fn difference(&self) -> Option<String> {
        let [alice, bob] = BOTH.map(|who| self.phone(who));
        for (who, (this, other)) in [(alice, bob), (bob, alice)].into_iter().enumerate() {
            let (Some(call), Some(there)) = (&this.call, &other.call) else {
                return Some("there is no call".to_owned());
            };
            let (Some(dialog), Some(theirs)) = (call.dialog(), there.dialog()) else {
                return Some("there is no dialog".to_owned());
            };
            let timer = call.session_interval();
            let their_timer = there.session_interval();
            let contact = format!("sip:{}@{}", NAMES[1 - who], other.address);
            let (ours, heard) = (&this.agreed.ours, &this.agreed.theirs);
            // RFC 3264 §8.4: whoever is on hold hears, if anybody does, and is not heard.
            let flows = matches!(direction(ours), "sendrecv" | "sendonly")
                && matches!(direction(heard), "sendrecv" | "recvonly");
            let checks = [
                ("it is up", call.phase() == Phase::Talking),
                ("it is confirmed", dialog.state() == DialogState::Confirmed),
                ("one Call-ID", dialog.id().call_id == theirs.id().call_id),
                ("the tags", dialog.id().local_tag == theirs.id().remote_tag),
                ("the target", dialog.target().to_string() == contact),
                ("no offer is out", this.offered.is_none()),
                ("all is acknowledged", call.counts()[3] == 0),
                ("the description", *ours == other.agreed.theirs),
                ("the direction", flows != other.holds),
                ("the codec", line(ours, "a=rtpmap:") == self.codec),
                ("the packet time", line(ours, "a=ptime:") == self.ptime),
                (
                    "the key",
                    line(ours, "a=crypto:").ends_with(&format!("{:040}", this.key)),
                ),
                (
                    "a session timer",
                    timer.is_some_and(|timer| timer.interval == INTERVAL),
                ),
                (
                    "one refreshes",
                    timer.map(|timer| timer.we_refresh)
                        != their_timer.map(|timer| timer.we_refresh),
                ),
            ];
            if let Some((missing, _)) = checks.iter().find(|(_, is_so)| !is_so) {
                let name = NAMES[who];
                let ours = String::from_utf8_lossy(ours);
                let theirs = String::from_utf8_lossy(&other.agreed.theirs);
                return Some(format!(
                    "{name} differs in {missing}: {call:?}, {there:?}, {ours} {theirs}, told {:?}",
                    this.told.iter().map(name_of).collect::<Vec<_>>()
                ));
            }
        }
        None
    }

    /// Nothing is under way on either side: one dialog, and its session timer.
    fn is_quiet(&self) -> bool {
        let counts = self.counts();
        counts == [[0, 0, 1, 0, 0]; 2] && self.net.in_flight() == 0
    }

    /// Requests of ours, those of the peer, dialogs, answers without ACK, and subscriptions, of either.
    fn counts(&self) -> [[usize; 5]; 2] {
        BOTH.map(|who| {
            let call = self.phone(who).call.as_ref();
            call.map(|call| call.counts()).unwrap_or_default()
        })
    }

    /// Who refreshes the session.
    fn refresher(&self) -> Option<usize> {
        let mut both = BOTH.into_iter();
        both.find(|who| {
            let timer = self.phone(*who).call.as_ref();
            let timer = timer.and_then(|call| call.session_interval());
            timer.is_some_and(|timer| timer.we_refresh)
        })
    }

    /// The number of the last request that its call has sent.
    fn last_cseq(&self, who: usize) -> u32 {
        let call = self.phone(who).call.as_ref();
        let dialog = call.and_then(|call| call.dialog());
        dialog.map_or(0, Dialog::local_cseq)
    }

    /// A request within the dialog as the call of this one would write it.
    fn write(&mut self, who: usize, method: &str) -> Request {
        self.written += 1;
        let number = self.written;
        let phone = self.phone(who);
        let call = phone.call.as_ref().expect("the call goes on");
        let mut dialog = call.dialog().expect("it is up").clone();
        let method = Method::parse(method).expect("a token");
        let mut request = dialog.request(method);
        let via = phone::path(phone.address, phone.address);
        let via = via.via_value(&format!("z9hG4bKwritten{number:08}"));
        let contact = format!("<sip:{}@{}>", NAMES[who], phone.address);
        request.headers.push(HeaderName::Via, via);
        request.headers.push(HeaderName::Contact, contact);
        request
    }

    /// Sends a request until it has a final answer, which is told.
    fn ask(&mut self, from: SocketAddr, to: usize, request: &Request) -> u16 {
        let bytes = request.to_bytes();
        let (branch, method) = (branch_of(&bytes), request.method.as_str());
        for _ in 0..60 {
            let to = self.phone(to).address;
            self.net.inject(from, to, bytes.clone());
            self.wait(500 * MS);
            let answers = self.net.trace().iter().filter_map(|traced| {
                let text = &traced.packet.payload;
                let code: u16 = line(text, "SIP/2.0 ").get(..3)?.parse().ok()?;
                let is_its = branch_of(text) == branch && line(text, "CSeq: ").ends_with(method);
                (is_its && code >= 200).then_some(code)
            });
            if let Some(code) = answers.max() {
                return code;
            }
        }
        panic!("no answer to {method}");
    }

    /// Hangs up, and says what is left on either side 64·T1 after both know that it is over.
    fn end(&mut self) -> [[usize; 5]; 2] {
        self.act(CALLER, |phone, now| {
            phone.call().hang_up(now).expect("it is up");
        });
        self.until("it is over", |town| {
            BOTH.into_iter().all(|who| {
                let call = town.phone(who).call.as_ref();
                call.is_some_and(|call| call.is_settled())
            })
        });
        let ended = |kind: fn(&EndKind) -> bool| move |event: &CallEvent| matches!(event, CallEvent::Ended(reason) if kind(&reason.kind));
        assert!(self.is_told(CALLER, ended(|kind| *kind == EndKind::WeHungUp)));
        let by_peer = ended(|kind| matches!(kind, EndKind::PeerHungUp { .. }));
        assert!(self.is_told(CALLEE, by_peer));
        self.wait(PATIENCE + SECOND);
        for who in BOTH {
            let phone = self.phone(who);
            assert!(phone.call.as_ref().is_some_and(|call| call.is_drained()));
            assert_eq!(testkit::Node::deadline(phone), None, "a timer runs on");
        }
        assert_eq!(self.net.in_flight(), 0);
        self.counts()
    }
}

fn name_of(event: &CallEvent) -> String {
    let text = format!("{event:?}");
    text.chars().take(60).collect()
}

/// Runs the call for so long, and gives what was held after each round. Each hour is reported.
fn hold(mut town: Town, least: Duration, report: &mut String) -> (Town, Vec<isize>) {
    let mut held = Vec::with_capacity(1_000);
    while town.round < 2 || town.net.elapsed() < least {
        for (what, happen) in HAPPENINGS {
            town.forget();
            happen(&mut town);
            town.agree(what);
        }
        town.round += 1;
        let end = ROUND * u32::try_from(town.round).expect("not that many");
        town.wait(end.saturating_sub(town.net.elapsed()));
        town.until("it is quiet", Town::is_quiet);
        town.agree("a round");
        town.forget();
        held.push(HELD.get());
        if town.round.is_multiple_of(6) || town.net.elapsed() >= least {
            let hours = town.net.elapsed().as_secs_f64() / 3_600.0;
            let (counts, tally) = (town.counts(), town.tally);
            let held = HELD.get();
            let written = writeln!(
                report,
                "{hours:.2} hours: {held} bytes held, {counts:?}, {tally:?}"
            );
            written.expect("a string takes all");
        }
    }
    (town, held)
}

#[test]
fn a_call_of_hours_agrees_with_itself_holds_no_more_than_one_of_minutes_and_leaves_nothing() {
    let hours = std::env::var("TIPRING_HOURS").ok();
    let hours: Option<f64> = hours.map(|hours| hours.parse().expect("a number of hours"));
    let least = Duration::from_secs_f64(hours.unwrap_or(0.0) * 3_600.0);
    // Printed in the end: what a test prints may be kept for it, in memory that would be counted.
    let mut report = String::with_capacity(1 << 16);
    let before = HELD.get();
    let (mut town, held) = hold(Town::begin(1), least, &mut report);
    // The first round is when all that is needed is taken.
    let most = held.iter().max().copied().unwrap_or_default();
    assert!(
        most <= held[0] + MOST_MORE,
        "{most} bytes, {} after the first round",
        held[0]
    );
    let left = town.end();
    assert_eq!(left, [[0; 5]; 2]);
    drop((town, held));
    let left_behind = HELD.get() - before;
    println!("{report}left: {left:?}, {left_behind} bytes left behind");
    assert!(left_behind <= MOST_MORE, "{left_behind} bytes left behind");
}

/// What would be seen of a core that keeps the branch of one request for each thing that it tells.
#[test]
fn one_entry_kept_for_each_event_would_be_seen() {
    let mut town = Town::begin(2);
    for who in BOTH {
        town.phone_mut(who).leak = Some(Vec::new());
    }
    let (_, held) = hold(town, Duration::ZERO, &mut String::with_capacity(1_024));
    assert!(held[1] > held[0] + MOST_MORE, "{held:?}");
}
