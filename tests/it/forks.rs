//! A proxy that forks and lets several answers through: each is acknowledged, one is kept, the others are
//! ended (RFC 3261 §13.2.2.4).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::rig::folder::Folder;
use crate::rig::peer::{Peer, description};
use crate::rig::program::{Account, Program, SOON, is};
use crate::rig::{ports, seconds};

const CALLS: usize = 100;
const BRANCHES: [&str; 3] = ["one", "two", "three"];

/// What one call was heard to do.
#[derive(Default)]
struct Tally {
    /// The branches whose 200 was acknowledged.
    acknowledged: BTreeSet<String>,
    /// Those that were ended, in their order.
    ended: Vec<String>,
}

#[test]
fn of_a_hundred_calls_with_three_answers_each_one_is_kept_and_two_are_ended() {
    let folder = Folder::new("forks");
    let peer = Peer::new();
    let account = Account::new(
        "sip:alice@127.0.0.1",
        "--no-register --transport udp --codecs pcmu",
    );
    let args = format!(
        "sip:bob@127.0.0.1:{} --count {CALLS} --rate 20 --for 3s",
        peer.port
    );
    let alice = Program::start(&folder, "alice", "call", &account, &args);

    let media = ports::free();
    let mut calls: BTreeMap<String, Tally> = BTreeMap::new();
    let deadline = Instant::now() + seconds(60);
    let is_done = |calls: &BTreeMap<String, Tally>| {
        calls.len() == CALLS && calls.values().all(|c| c.ended.len() == BRANCHES.len())
    };
    while !is_done(&calls) && Instant::now() < deadline {
        let Some(heard) = peer.hear(Duration::from_millis(200)) else {
            continue;
        };
        let tally = calls.entry(heard.header("Call-ID").to_owned()).or_default();
        let tag = heard
            .header("To")
            .rsplit_once(";tag=")
            .map(|(_, tag)| tag.to_owned());
        match (heard.text.split(' ').next(), tag) {
            (Some("INVITE"), None) => {
                for branch in BRANCHES {
                    let contact = format!(
                        "Contact: <sip:{branch}@127.0.0.1:{}>\r\nContent-Type: application/sdp\r\n\r\n{}",
                        peer.port,
                        description(media)
                    );
                    peer.answer(&heard, "200 OK", branch, &contact);
                }
            }
            (Some("ACK"), Some(tag)) => drop(tally.acknowledged.insert(tag)),
            (Some("BYE"), Some(tag)) => {
                peer.answer(&heard, "200 OK", "", "");
                if !tally.ended.contains(&tag) {
                    tally.ended.push(tag);
                }
            }
            _ => {}
        }
    }
    let outcome = alice.finish(SOON);
    outcome.assert_code(0);
    assert_eq!(calls.len(), CALLS, "{}", outcome.story);
    for (call, tally) in &calls {
        assert_eq!(
            tally.acknowledged.len(),
            3,
            "{call}: {:?}",
            tally.acknowledged
        );
        assert_eq!(tally.ended.len(), 3, "{call}: {:?}", tally.ended);
        // The first answer won, and is ended last, by its user.
        assert_eq!(tally.ended[2], "one", "{call}: {:?}", tally.ended);
    }
    let connected = outcome
        .events
        .iter()
        .filter(|event| is(event, "call") && event["state"] == "connected");
    assert_eq!(connected.count(), CALLS, "{}", outcome.story);
    println!(
        "{CALLS} calls: {} answers acknowledged, {} ended",
        calls.values().map(|c| c.acknowledged.len()).sum::<usize>(),
        calls.values().map(|c| c.ended.len()).sum::<usize>()
    );
}
