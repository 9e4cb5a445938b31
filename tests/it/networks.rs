//! Two phones that are in the same two networks, with addresses of both families or one, of which some carry no media:
//! ICE finds the way that does (RFC 8445, RFC 8421).

use serde_json::Value;

use crate::rig::folder::Folder;
use crate::rig::namespaces::{Broken, Families, Network};
use crate::rig::program::{Account, Program, SOON, is};
use crate::rig::{seconds, sound, until};

/// Where Bob is called.
const PORT: u16 = 5_070;

struct Case {
    name: &'static str,
    families: Families,
    broken: Broken,
    /// Where Bob's media has to be, by the beginning of its address.
    found: &'static [&'static str],
}

const CASES: [Case; 5] = [
    Case {
        name: "IPv4 alone, first network broken",
        families: Families::Four,
        broken: Broken::First,
        found: &["198.51.100."],
    },
    Case {
        name: "IPv6 alone, first network broken",
        families: Families::Six,
        broken: Broken::First,
        found: &["[2001:db8:2::"],
    },
    Case {
        name: "both, IPv6 broken",
        families: Families::Both,
        broken: Broken::Six,
        found: &["192.0.2.", "198.51.100."],
    },
    Case {
        name: "both, IPv4 broken",
        families: Families::Both,
        broken: Broken::Four,
        found: &["[2001:db8:1::", "[2001:db8:2::"],
    },
    Case {
        name: "both, nothing broken",
        families: Families::Both,
        broken: Broken::Nothing,
        found: &["[2001:db8:1::", "[2001:db8:2::", "192.0.2.", "198.51.100."],
    },
];

#[test]
fn speech_finds_the_network_and_the_family_that_carry_it() {
    let rows: Vec<String> = std::thread::scope(|scope| {
        let calls = CASES.map(|case| scope.spawn(move || call(&case)));
        let rows = calls.map(|call| call.join().expect("sound goes both ways"));
        rows.into()
    });
    println!(
        "\ncase                               alice's media goes to     bob's media goes to       likeness"
    );
    rows.iter().for_each(|row| println!("{row}"));
}

fn call(case: &Case) -> String {
    let name = case.name.replace([' ', ','], "_");
    let folder = Folder::new(&format!("networks_{name}"));
    let network = Network::with_two_networks(case.families, case.broken);
    let speech = sound::speech(&folder, 48_000);
    let heard = folder.join("heard.wav");
    let (bind, first) = match case.families {
        Families::Six => ("[::]", "[2001:db8:1::2]"),
        Families::Four | Families::Both => ("0.0.0.0", "192.0.2.2"),
    };
    let usual = "--no-register --transport udp --codecs pcmu --ice";
    let bob = Account::new(
        format!("sip:bob@{first}"),
        &format!("{usual} --bind {bind}:{PORT}"),
    );
    let there = network.second_phone();
    let mut bob = Program::start_at(&there, &folder, "bob", "answer", &bob, "--count 1 --echo");
    until("Bob's port to be taken", SOON, || {
        there.is_taken(PORT).then_some(())
    });
    let alice = Account::new("sip:alice@alice.test", usual);
    let args = format!(
        "sip:bob@{first}:{PORT} --for 7s --play {} --record {}",
        speech.display(),
        heard.display()
    );
    let here = network.phone();
    let mut alice = Program::start_at(&here, &folder, "alice", "call", &alice, &args);
    // Where media goes in the end: the ways are tried while it flows.
    let place = |event: &Value| event["actual_peer"].as_str().map(str::to_owned);
    let flows = |event: &Value| is(event, "media") && event["actual_peer"].is_string();
    let to_bob = place(&alice.wait_for("Bob's media", SOON, flows)).unwrap_or_default();
    let to_alice = place(&bob.wait_for("Alice's media", SOON, flows)).unwrap_or_default();
    alice.finish(seconds(30)).assert_code(0);
    bob.finish(SOON).assert_code(0);
    let likeness = sound::begins_like(&speech, &heard);
    assert!(
        likeness >= 0.9,
        "{}: the echo is like the speech by {likeness}",
        case.name
    );
    let fits = |place: &str| case.found.iter().any(|begins| place.starts_with(begins));
    assert!(
        fits(&to_bob) && fits(&to_alice),
        "{}: {to_bob} {to_alice}",
        case.name
    );
    format!(
        "{:<33}  {to_bob:<24}  {to_alice:<24}  {likeness:.2}",
        case.name
    )
}
