//! Two phones, each behind a router of its own, with a registrar and a relay of others between them, and wires that lose,
//! double, delay and mix up what goes over them: sound in both directions, plain and encrypted by either kind of keys.

use serde_json::{Value, json};
use testkit::Counts;

use crate::baresip::echo;
use crate::rig::baresip::{Far, Setup};
use crate::rig::control::Control;
use crate::rig::coturn::Coturn;
use crate::rig::folder::Folder;
use crate::rig::kamailio::Kamailio;
use crate::rig::namespaces::{FAR, Network, Place, Ports};
use crate::rig::program::{Account, Program, SOON};
use crate::rig::{seconds, sound, until};

/// How the media may find its way.
#[derive(Clone, Copy)]
struct Ways {
    name: &'static str,
    stun: bool,
    turn: Option<&'static str>,
    ice: bool,
}

/// How it is encrypted: by `srtp` and `srtp_keys` of the settings, and what the view says of it then.
const SECURITY: [(&str, &str, &str); 3] = [
    ("off", "sdes", "plain"),
    ("required", "sdes", "SDES"),
    ("required", "dtls", "DTLS"),
];

#[test]
fn phones_behind_different_routers_hear_each_other_by_holes_and_by_relays() {
    let kept = || {
        let ways = Ways {
            name: "STUN and ICE",
            stun: true,
            turn: None,
            ice: true,
        };
        House::open("routers_kept", Ports::Kept, 1).check("keep ports", &[ways])
    };
    let drawn = || {
        let ways = [
            Ways {
                name: "STUN, TURN and ICE",
                stun: true,
                turn: Some("udp"),
                ice: true,
            },
            Ways {
                name: "TURN by TCP, no ICE",
                stun: false,
                turn: Some("tcp"),
                ice: false,
            },
        ];
        House::open("routers_drawn", Ports::Drawn, 3).check("draw ports", &ways)
    };
    let rows = std::thread::scope(|scope| {
        let running = [
            std::thread::Builder::new().spawn_scoped(scope, kept),
            std::thread::Builder::new().spawn_scoped(scope, drawn),
        ];
        running.map(|thread| {
            let thread = thread.expect("a thread can be started");
            thread.join().expect("sound goes both ways")
        })
    });
    println!("\nrouters     ways                 keys   alice heard  bob heard  by relay");
    for row in rows.iter().flat_map(|(rows, _)| rows) {
        println!("{row}");
    }
    for (routers, (_, counts)) in ["keep", "draw"].into_iter().zip(&rows) {
        println!("on the wires of routers that {routers} ports: {counts}");
    }
}

/// What the wires of a network did. Panics if there is a kind of mishap that they have spared it.
fn mishaps(what: &str, network: &Network) -> Counts {
    let counts = network.counts();
    let kinds = [counts.lost, counts.twice, counts.overtaken];
    assert!(!kinds.contains(&0), "{what}: {counts}");
    counts
}

/// How baresip encrypts, in its own spelling, how we are set up for it, and its name.
const KEYS: [(Option<&str>, &str, &str); 3] = [
    (None, "", "plain"),
    (Some("srtp-mand"), "--srtp required", "SDES"),
    (
        Some("dtls_srtp"),
        "--srtp required --srtp-keys dtls",
        "DTLS",
    ),
];

/// A phone that others wrote behind the far router: everything goes through its relay as through ours, or both try
/// all ways; plain and by either kind of keys.
#[test]
fn baresip_behind_the_far_router_hears_us_and_is_heard() {
    let mut cases = Vec::new();
    for (name, ports) in [("keep ports", Ports::Kept), ("draw ports", Ports::Drawn)] {
        for ways in [("turn", ""), ("ice", "--ice")] {
            cases.extend(KEYS.map(|keys| Case {
                routers: name,
                ports,
                theirs: ways.0,
                ours: ways.1,
                keys,
                seed: 0,
            }));
        }
    }
    for (case, seed) in cases.iter_mut().zip((100..).step_by(2)) {
        case.seed = seed;
    }
    let mut rows = Vec::new();
    // Each has two routers, a registrar, a relay and two phones of its own.
    for some in cases.chunks(4) {
        std::thread::scope(|scope| {
            let calls: Vec<_> = some
                .iter()
                .map(|case| scope.spawn(|| call_baresip(case)))
                .collect();
            rows.extend(
                calls
                    .into_iter()
                    .map(|call| call.join().expect("sound goes both ways")),
            );
        });
    }
    println!(
        "\nrouters     baresip  we            keys   our media goes to        by relay  likeness of the echo"
    );
    rows.iter().for_each(|(row, _)| println!("{row}"));
    let all = rows.iter().map(|(_, counts)| *counts);
    let all = all.fold(Counts::default(), std::ops::Add::add);
    println!("on the wires: {all}");
}

struct Case {
    routers: &'static str,
    ports: Ports,
    theirs: &'static str,
    ours: &'static str,
    keys: (Option<&'static str>, &'static str, &'static str),
    seed: u64,
}

fn call_baresip(case: &Case) -> (String, Counts) {
    let Case {
        routers,
        ports,
        theirs,
        ours,
        keys: (encryption, srtp, keys),
        seed,
    } = *case;
    let what = format!("{routers}, baresip with {theirs}, {keys}");
    let folder = Folder::new(&format!(
        "routers_baresip_{}",
        what.replace([' ', ','], "_")
    ));
    let network = Network::with_two_routers(ports, seed);
    let far = FAR.parse().expect("an address");
    let kamailio = Kamailio::start_at(&network.far(), FAR, &folder);
    let coturn = Coturn::start_at(&network.far(), far, &folder);
    let setup = Setup {
        address: "bob@south.test",
        encryption,
        ..echo("PCMU/8000/1")
    };
    let bob = Far {
        place: &network.second_phone(),
        here: "10.88.0.2".parse().expect("an address"),
        proxy: format!("{FAR}:{}", kamailio.port),
        ways: theirs,
        relay: format!("turn:{FAR}:{}", coturn.port),
    };
    let bob = bob.start(&folder, "bob", &setup);
    let speech = sound::twice(&sound::speech(&folder, 48_000));
    let heard = folder.join("heard.wav");
    let more = format!(
        "--proxy sip:{FAR}:{};transport=tcp;lr --transport tcp --codecs pcmu --no-register --stun {FAR}:{} --turn {} {ours} {srtp}",
        kamailio.port,
        coturn.port,
        coturn.uri("udp")
    );
    let account = Account::new("sip:alice@north.test", &more);
    let args = format!(
        "sip:bob@south.test --for 19s --play {} --record {}",
        speech.display(),
        heard.display()
    );
    let place = network.phone();
    let mut alice = Program::start_at(&place, &folder, "alice", "call", &account, &args);
    let flows = |event: &Value| event["actual_peer"].is_string();
    let media = alice.wait_for("Bob's media", seconds(20), flows);
    let outcome = alice.finish(seconds(30));
    outcome.assert_code(0);
    // It takes no way before the last one that it tries has come to nothing, seven seconds behind routers that draw,
    // and the handshake begins then.
    let likeness = sound::goes_on_like(&speech, &heard);
    assert!(
        likeness >= 0.9,
        "{what}: the echo is like the speech by {likeness}\n{}\n{}",
        bob.log(),
        outcome.story
    );
    let peer = media["actual_peer"].as_str().unwrap_or_default();
    let relayed = if coturn.gives(peer) { "yes" } else { "no" };
    let ours = if ours.is_empty() {
        "TURN"
    } else {
        "TURN and ICE"
    };
    let counts = mishaps(&what, &network);
    let row = format!(
        "{routers:<10}  {theirs:<7}  {ours:<12}  {keys:<5}  {peer:<23}  {relayed:<8}  {likeness:.2}"
    );
    (row, counts)
}

/// Alice behind one router, Bob behind the other.
struct House {
    alice: Control,
    bob: Control,
    kamailio: Kamailio,
    coturn: Coturn,
    _programs: [Program; 2],
    network: Network,
}

impl House {
    fn open(name: &str, ports: Ports, seed: u64) -> Self {
        let folder = Folder::new(name);
        let network = Network::with_two_routers(ports, seed);
        let far = FAR.parse().expect("an address");
        let kamailio = Kamailio::start_at(&network.far(), FAR, &folder);
        let coturn = Coturn::start_at(&network.far(), far, &folder);
        let start = |place: &Place, name: &str, address: &str| {
            let home = folder.inner(name);
            let socket = home.join("control");
            let proxy = format!("sip:{FAR}:{};transport=tcp;lr", kamailio.port);
            let more = format!("--proxy {proxy} --transport tcp --codecs pcmu --audio null");
            let account = Account::new(format!("sip:{address}"), &more);
            let args = format!("--echo --control {}", socket.display());
            let program = Program::start_at(place, &folder, name, "headless", &account, &args);
            (program, Control::connect(&socket))
        };
        let (bob_program, bob) = start(&network.second_phone(), "bob", "bob@south.test");
        let (alice_program, alice) = start(&network.phone(), "alice", "alice@north.test");
        Self {
            alice,
            bob,
            kamailio,
            coturn,
            _programs: [alice_program, bob_program],
            network,
        }
    }

    /// A row for each way and kind of keys, and what the wires did meanwhile.
    fn check(mut self, routers: &str, all: &[Ways]) -> (Vec<String>, Counts) {
        let mut rows = Vec::new();
        for ways in all {
            for (srtp, keys, name) in SECURITY {
                let what = format!("{routers}, {}, {name}", ways.name);
                let [alice, bob] = self.call(*ways, srtp, keys, &what);
                let relayed = [&alice, &bob].map(|call| self.is_relayed(call));
                if ways.turn.is_some() {
                    assert!(relayed.contains(&true), "{what}\n{alice:#}\n{bob:#}");
                } else {
                    assert!(!relayed.contains(&true), "{what}\n{alice:#}\n{bob:#}");
                }
                let secured = name != "plain";
                for call in [&alice, &bob] {
                    assert_eq!(
                        call["security"]["received"].is_object(),
                        secured,
                        "{what}\n{call:#}"
                    );
                }
                let heard = |call: &Value| call["stats"]["received"].as_u64().unwrap_or(0);
                rows.push(format!(
                    "{routers:<10}  {:<19}  {name:<5}  {:>11}  {:>9}  {}",
                    ways.name,
                    heard(&alice),
                    heard(&bob),
                    if relayed.contains(&true) { "yes" } else { "no" }
                ));
            }
        }
        let counts = mishaps(routers, &self.network);
        (rows, counts)
    }

    /// Whether what is heard in this call comes from the relay, or goes out through it.
    fn is_relayed(&self, call: &Value) -> bool {
        let peer = call["media_peer"].as_str().unwrap_or_default();
        self.coturn.gives(peer)
    }

    /// Both get other settings, one calls the other, and both hear something. Gives the call as both see it.
    fn call(&mut self, ways: Ways, srtp: &str, keys: &str, what: &str) -> [Value; 2] {
        let proxy = format!("sip:{FAR}:{};transport=tcp;lr", self.kamailio.port);
        let stun = ways.stun.then(|| format!("{FAR}:{}", self.coturn.port));
        let turn = ways.turn.map(|carrier| self.coturn.uri(carrier));
        for (control, address) in [
            (&mut self.bob, "bob@south.test"),
            (&mut self.alice, "alice@north.test"),
        ] {
            let id = control.snapshot()["accounts"][0]["id"].clone();
            let mut settings = json!({
                "aor": format!("sip:{address}"), "proxy": proxy, "transport": "tcp", "register": true,
                "expires_s": 600, "codecs": ["pcmu"], "mwi": false,
                "ice": ways.ice, "srtp": srtp, "srtp_keys": keys,
            });
            let object = settings.as_object_mut().expect("an object");
            object.extend(stun.clone().map(|stun| ("stun".to_owned(), json!(stun))));
            object.extend(turn.clone().map(|turn| ("turn".to_owned(), json!(turn))));
            control.call(
                "update_account",
                &json!({"account": id, "settings": settings, "password": "secret"}),
            );
            let wanted = json!([ways.ice, srtp, keys]);
            control.wait_for("registration", SOON, |state| {
                let account = state["accounts"].as_array()?.first()?;
                let settings = &account["settings"];
                let ice = settings["ice"].as_bool().unwrap_or(false);
                let has = json!([ice, settings["srtp"], settings["srtp_keys"]]);
                (account["state"] == "registered" && has == wanted).then_some(())
            });
        }
        let newest = newest(&mut self.bob);
        let account = self.alice.snapshot()["accounts"][0]["id"].clone();
        let ours = self.newest_after(what, account, newest);
        let [at_alice, at_bob] = ours;
        let calls =
            [(&mut self.alice, &at_alice), (&mut self.bob, &at_bob)].map(|(control, id)| {
                control.wait_for(&format!("sound: {what}"), seconds(20), |state| {
                    let calls = state["calls"].as_array()?;
                    let call = calls.iter().find(|call| call["id"] == *id)?;
                    let heard = call["stats"]["received"].as_u64() > Some(50);
                    (call["state"] == "connected" && heard).then(|| call.clone())
                })
            });
        if ways.ice && ways.turn.is_some() {
            self.keeps_what_is_used(what, [&at_alice, &at_bob]);
        }
        self.alice.call("end_call", &json!({"call": at_alice}));
        self.bob.wait_for("the end", SOON, |state| {
            let calls = state["calls"].as_array()?;
            let live = calls
                .iter()
                .any(|call| call["id"] == at_bob && call["state"] != "ended");
            (!live).then_some(())
        });
        calls
    }

    /// RFC 8445 §8.3.1: of the addresses at the relay, two of each phone, those stay that carry the media, and sound with them.
    fn keeps_what_is_used(&mut self, what: &str, calls: [&Value; 2]) {
        // Six seconds of sound: those of reports go at once, and those of media three seconds after a nomination, which
        // takes two at most.
        self.wait_for_more(what, calls, 300);
        until("addresses given back", SOON, || {
            (self.coturn.open() <= 2).then_some(())
        });
        let left = self.coturn.open();
        self.wait_for_more(what, calls, 150);
        let open = self.coturn.open();
        assert!(
            (1..=2).contains(&left) && open == left,
            "{what}: {left}, then {open}"
        );
        println!("{what}: {left} of 4 addresses at the relay stay");
    }

    /// Waits until both have heard so many packets more in these calls.
    fn wait_for_more(&mut self, what: &str, calls: [&Value; 2], more: u64) {
        let controls = [&mut self.alice, &mut self.bob];
        for (control, id) in controls.into_iter().zip(calls) {
            let heard = |state: &Value| {
                let calls = state["calls"].as_array()?;
                let call = calls.iter().find(|call| call["id"] == *id)?;
                call["stats"]["received"].as_u64()
            };
            let before = heard(&control.snapshot()).unwrap_or(0);
            control.wait_for(&format!("sound later on: {what}"), seconds(20), |state| {
                heard(state).filter(|heard| *heard > before + more)
            });
        }
    }

    /// Alice calls, Bob takes it. Gives the number of the call at both.
    fn newest_after(&mut self, what: &str, account: Value, before: u64) -> [Value; 2] {
        let mine = newest(&mut self.alice);
        self.alice.call(
            "place_call",
            &json!({"account": account, "target": "sip:bob@south.test"}),
        );
        let rings = |state: &Value| {
            let calls = state["calls"].as_array()?;
            let new =
                |call: &&Value| call["id"].as_u64() > Some(before) && call["state"] == "ringing";
            calls.iter().find(new).map(|call| call["id"].clone())
        };
        let at_bob = self.bob.wait_for(&format!("a call: {what}"), SOON, rings);
        self.bob.call("answer_call", &json!({"call": at_bob}));
        let at_alice = self.alice.wait_for("the call", SOON, |state| {
            let calls = state["calls"].as_array()?;
            let new = |call: &&Value| call["id"].as_u64() > Some(mine);
            calls.iter().find(new).map(|call| call["id"].clone())
        });
        [at_alice, at_bob]
    }
}

/// The highest number of a call so far.
fn newest(control: &mut Control) -> u64 {
    let state = control.snapshot();
    let calls = state["calls"].as_array().cloned().unwrap_or_default();
    calls
        .iter()
        .filter_map(|call| call["id"].as_u64())
        .max()
        .unwrap_or(0)
}
