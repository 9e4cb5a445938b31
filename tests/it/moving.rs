//! A phone behind a router that comes to another network, loses its way and sleeps, each in the middle
//! of a call. Kamailio and the one who is called are beyond the router.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::control::Control;
use crate::rig::coturn::Coturn;
use crate::rig::folder::Folder;
use crate::rig::kamailio::Kamailio;
use crate::rig::namespaces::{BESIDE, FAR, Network, OUTSIDE, PHONE, Place};
use crate::rig::process::{self, signal};
use crate::rig::program::{self, Account, Program, SOON};
use crate::rig::{seconds, until};

/// What may pass between the return of the network and the registration. Whoever waited for a keepalive or a
/// back-off would need half a minute.
const AT_ONCE: Duration = seconds(2);

/// What may pass between a request on a connection that leads nowhere and the registration on another one: ten
/// seconds until the system gives up what is not acknowledged, and what it takes to connect.
const FORGOTTEN: Duration = seconds(13);

/// Where a phone is that has lost the address beside the servers.
const ELSEWHERE: &str = "198.51.100.77";

/// They take long and have networks of their own, so that they run side by side.
#[test]
fn a_call_behind_a_router_goes_on_in_another_network_after_a_gap_and_after_a_sleep() {
    let moves = |name: &'static str, transport: &'static str, what: &'static str| {
        move || {
            let mut house = House::open(name, transport);
            let back = |house: &mut House| house.network.change_address(PHONE, "10.77.0.7");
            let seen = house.goes_on(|_| {}, back);
            house.check_trace(&["10.77.0.2 is gone, 10.77.0.7 is new"]);
            (what, seen)
        }
    };
    let gap = || {
        let mut house = House::open("moving_gap", "udp");
        let away = |house: &mut House| {
            house.network.route_away();
            house.alice.wait_for("word of it", SOON, |state| {
                (state["accounts"][0]["state"] == "silent").then_some(())
            });
            std::thread::sleep(seconds(20));
        };
        let seen = house.goes_on(away, |house| house.network.route_back());
        house.check_trace(&["no way leads out", "There is no way to the host from here"]);
        ("no route for 20 s", seen)
    };
    let sleep = || {
        let mut house = House::open("moving_sleep", "udp");
        let stop = |house: &mut House| {
            signal(house.program.id(), "STOP");
            std::thread::sleep(seconds(60));
        };
        let seen = house.goes_on(stop, |house| signal(house.program.id(), "CONT"));
        house.check_trace(&["the program was not run for"]);
        ("stopped for 60 s", seen)
    };
    let seen = std::thread::scope(|scope| {
        let running = [
            scope.spawn(moves("moving_address", "udp", "another address")),
            scope.spawn(moves("moving_address_tcp", "tcp", "the same over TCP")),
            scope.spawn(gap),
            scope.spawn(sleep),
        ];
        running.map(|thread| thread.join().expect("each of them goes on"))
    });
    println!("\nwhat happens          registered after  re-INVITE after  sound both ways after");
    for (what, seen) in seen {
        println!(
            "{what:<20}  {:>13} ms  {:>12} ms  {:>18} ms",
            seen.registered.as_millis(),
            seen.offered.as_millis(),
            seen.heard.as_millis()
        );
    }
}

/// RFC 3261 §12.2.1.1, RFC 3264 §8.3.1: who has another address names it in Contact and description, and is heard from there.
#[test]
fn a_call_without_ice_goes_on_where_our_address_was_taken_away_and_another_came() {
    let moves = |name: &'static str, transport: &'static str| {
        move || {
            let folder = Folder::new(name);
            let network = Network::without_router();
            let mut house = House::open_in(network, BESIDE, &folder, transport, "");
            let away = |house: &mut House| {
                house.network.take_address(BESIDE);
                std::thread::sleep(seconds(3));
            };
            let seen = house.goes_on(away, |house| house.network.give_address(ELSEWHERE));
            house.check_offer(ELSEWHERE);
            (transport, seen)
        }
    };
    let seen = std::thread::scope(|scope| {
        let running = [
            scope.spawn(moves("moving_taken", "udp")),
            scope.spawn(moves("moving_taken_tcp", "tcp")),
        ];
        running.map(|thread| thread.join().expect("each of them goes on"))
    });
    println!(
        "\nno address for 3 s, then another  registered after  re-INVITE after  sound both ways after"
    );
    for (transport, seen) in seen {
        println!(
            "{transport:<32}  {:>13} ms  {:>12} ms  {:>18} ms",
            seen.registered.as_millis(),
            seen.offered.as_millis(),
            seen.heard.as_millis()
        );
    }
}

/// RFC 8445 §8.3.1, RFC 8656 §7: what no way needs is given back while the call goes on; §9: who tries ways anew has
/// addresses at the relay again, and so has who answers.
#[test]
fn addresses_at_a_relay_are_given_back_in_a_call_and_asked_for_again_where_ways_are_tried_anew() {
    let folder = Folder::new("moving_relays");
    let network = Network::new();
    let far = FAR.parse().expect("an address");
    let coturn = Coturn::start_at(&network.far(), far, &folder);
    let more = format!(
        "--ice --stun {FAR}:{} --turn {}",
        coturn.port,
        coturn.uri("udp")
    );
    let mut house = House::open_in(network, OUTSIDE, &folder, "udp", &more);
    let started = Instant::now();
    let none_open = || {
        until("all addresses to be given back", seconds(20), || {
            (coturn.open() == 0).then_some(())
        });
    };
    none_open();
    let settled = started.elapsed();
    let first = coturn.given_and_back();
    // Two of each phone: for media and for reports.
    assert_eq!(first, [4, 4], "{}", coturn.log());
    let heard = house.heard();
    house.wait_heard(heard.map(|count| count + 150));
    let call = house.alice.snapshot()["calls"][0]["id"].clone();
    let state = |wanted: &'static str| {
        move |state: &Value| (state["calls"][0]["state"] == wanted).then_some(())
    };
    house.alice.call("hold_call", &json!({"call": call}));
    house
        .alice
        .wait_for("the call on hold", SOON, state("held"));
    house.alice.call("resume_call", &json!({"call": call}));
    house
        .alice
        .wait_for("the call resumed", SOON, state("connected"));
    let heard = house.heard();
    house.wait_heard(heard.map(|count| count + 100));
    assert_eq!(coturn.given_and_back(), first, "hold is no restart");
    let seen = house.goes_on(
        |_| {},
        |house| house.network.change_address(PHONE, "10.77.0.7"),
    );
    let again = Instant::now();
    none_open();
    let settled_again = again.elapsed();
    let second = coturn.given_and_back();
    assert_eq!(second, [8, 8], "{}", coturn.log());
    let heard = house.heard();
    house.wait_heard(heard.map(|count| count + 150));
    println!(
        "addresses at the relay: {} given and {} back {} ms after the call had sound; \
         sound both ways {} ms after we moved; {} given and {} back {} ms later",
        first[0],
        first[1],
        settled.as_millis(),
        seen.heard.as_millis(),
        second[0],
        second[1],
        settled_again.as_millis()
    );
}

/// A connection whose other end is gone for us says nothing. RFC 5626 §4.5: another one is made, and what was asked on
/// the first is asked there.
#[test]
fn a_connection_that_a_router_has_forgotten_is_replaced_in_the_middle_of_a_call() {
    let mut house = House::open("moving_forgotten", "tcp");
    let saved = |log: &str| {
        let ours = log.lines().filter_map(|line| {
            let (_, rest) =
                line.split_once(&format!("SAVED sip:alice@north.test at {OUTSIDE}:"))?;
            let (port, _) = rest.split_once("/tcp")?;
            port.parse::<u16>().ok()
        });
        ours.collect::<Vec<_>>()
    };
    let before = saved(&house.kamailio.log());
    let port = *before.last().expect("alice is registered by TCP");
    house.network.forget_connection(port);
    let started = Instant::now();
    let call = house.alice.snapshot()["calls"][0]["id"].clone();
    house.alice.call("hold_call", &json!({"call": call}));
    let ports = until("a registration on another connection", FORGOTTEN, || {
        let ports = saved(&house.kamailio.log());
        (ports.len() > before.len()).then_some(ports)
    });
    let registered = started.elapsed();
    assert!(ports.last() != Some(&port), "{ports:?}");
    let state = |wanted: &'static str| {
        move |state: &Value| {
            let call = state["calls"].as_array()?.first()?;
            let registered = state["accounts"][0]["state"] == "registered";
            (registered && call["state"] == wanted).then_some(())
        }
    };
    house
        .alice
        .wait_for("the call on hold", SOON, state("held"));
    let held = started.elapsed();
    house.alice.call("resume_call", &json!({"call": call}));
    house
        .alice
        .wait_for("the call resumed", SOON, state("connected"));
    let heard = house.heard();
    house.wait_heard(heard.map(|count| count + 100));
    println!(
        "a connection is forgotten: registered by another one after {} ms, the call held after {} ms",
        registered.as_millis(),
        held.as_millis()
    );
}

/// How long after the network was back.
struct Seen {
    registered: Duration,
    offered: Duration,
    heard: Duration,
}

/// Alice behind the router in a call with Bob beyond it.
struct House {
    alice: Control,
    bob: Control,
    /// Where both have their settings and records.
    settings: [std::path::PathBuf; 2],
    program: Program,
    _bob: Program,
    kamailio: Kamailio,
    network: Network,
}

impl House {
    fn open(name: &str, transport: &str) -> Self {
        Self::open_in(Network::new(), OUTSIDE, &Folder::new(name), transport, "")
    }

    /// The same in this network, where Alice is seen at this address, with more of the command line for both.
    fn open_in(network: Network, seen: &str, folder: &Folder, transport: &str, more: &str) -> Self {
        let kamailio = Kamailio::start_at(&network.far(), FAR, folder);
        let start = |place: Place, name: &str, address: &str| {
            let home = folder.inner(name);
            let socket = home.join("control");
            let account = Account::new(
                format!("sip:{address}"),
                &format!(
                    "--proxy sip:{FAR}:{};transport={transport};lr --transport {transport} --codecs pcmu --audio null {more}",
                    kamailio.port
                ),
            );
            let args = format!("--echo --control {}", socket.display());
            let program = Program::start_at(&place, folder, name, "headless", &account, &args);
            (program, Control::connect(&socket))
        };
        let (bob_program, mut bob) = start(network.far(), "bob", "bob@south.test");
        let (program, mut alice) = start(network.phone(), "alice", "alice@north.test");
        let registered = |state: &Value| {
            let account = state["accounts"].as_array()?.first()?.clone();
            (account["state"] == "registered").then_some(account)
        };
        bob.wait_for("registration", SOON, registered);
        let account = alice.wait_for("registration", SOON, registered);
        // It writes that down after it has answered.
        let saved = format!("SAVED sip:alice@north.test at {seen}:");
        until(&format!("Kamailio to write {saved}"), SOON, || {
            kamailio.log().contains(&saved).then_some(())
        });
        alice.call(
            "place_call",
            &json!({"account": account["id"], "target": "sip:bob@south.test"}),
        );
        let ringing = bob.wait_for("a call", SOON, |state| {
            let call = state["calls"].as_array()?.first()?.clone();
            (call["state"] == "ringing").then_some(call)
        });
        bob.call("answer_call", &json!({"call": ringing["id"]}));
        let mut house = Self {
            settings: ["alice", "bob"].map(|name| folder.inner(name).join("settings")),
            alice,
            bob,
            program,
            _bob: bob_program,
            kamailio,
            network,
        };
        house.wait_heard([50, 50]);
        house
    }

    /// Waits until both have heard so many packets more than they had.
    fn wait_heard(&mut self, wanted: [u64; 2]) {
        for (control, wanted) in [&mut self.alice, &mut self.bob].into_iter().zip(wanted) {
            control.wait_for("sound in the call", seconds(15), |state| {
                let call = state["calls"].as_array()?.first()?;
                let heard = call["stats"]["received"].as_u64() > Some(wanted);
                (call["state"] == "connected" && heard).then_some(())
            });
        }
    }

    fn heard(&mut self) -> [u64; 2] {
        [&mut self.alice, &mut self.bob].map(|control| {
            let state = control.snapshot();
            state["calls"][0]["stats"]["received"].as_u64().unwrap_or(0)
        })
    }

    /// Takes the network away and brings it back, and sees that from then on there is a registration anew at
    /// once, then a re-INVITE, and sound in both directions.
    fn goes_on(&mut self, away: impl FnOnce(&mut Self), back: impl FnOnce(&mut Self)) -> Seen {
        let saved = |log: &str| log.matches("SAVED sip:alice@north.test").count();
        let offered = |log: &str| {
            let ours =
                |line: &&str| line.contains("SEEN INVITE") && line.contains("from sip:alice@");
            log.lines().filter(ours).count()
        };
        away(self);
        let log = self.kamailio.log();
        let (saved_before, offered_before) = (saved(&log), offered(&log));
        let started = Instant::now();
        back(self);
        let since = |what: &str, limit: Duration, count: &dyn Fn(&str) -> bool| {
            until(what, limit, || count(&self.kamailio.log()).then_some(()));
            started.elapsed()
        };
        let registered = since("a registration", SOON, &|log| saved(log) > saved_before);
        let offered = since("a re-INVITE", SOON, &|log| offered(log) > offered_before);
        assert!(registered <= AT_ONCE, "registered after {registered:?}");
        // What was under way before is counted by now.
        std::thread::sleep(seconds(1));
        let heard = self.heard();
        self.wait_heard(heard.map(|count| count + 25));
        let all = started.elapsed();
        let heard = self.heard();
        self.wait_heard(heard.map(|count| count + 100));
        for control in [&mut self.alice, &mut self.bob] {
            control.wait_for("the account registered", SOON, |state| {
                (state["accounts"][0]["state"] == "registered").then_some(())
            });
        }
        Seen {
            registered,
            offered,
            heard: all,
        }
    }

    /// Bob was told of this address by a re-INVITE: in its Contact and for the media of a session that is the same
    /// (RFC 3264 §8), and nothing is said about ways.
    fn check_offer(&self, address: &str) {
        let [_, theirs] = &self.settings;
        let story = recorded(theirs);
        let offers = story
            .match_indices("\nINVITE sip:")
            .map(|(at, _)| &story[at + 1..]);
        // Each ends where the description does.
        let offers = offers.filter_map(|rest| {
            let (head, rest) = rest.split_once("\n\n")?;
            Some((head, rest.split_once("\n\n")?.0))
        });
        let offers: Vec<(&str, &str)> = offers.collect();
        let line = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.unwrap_or_default().trim_end().to_owned()
        };
        let [Some(first), Some(last)] = [offers.first(), offers.last()] else {
            panic!("there is no INVITE in\n{story}");
        };
        // Large ones have short names (RFC 3261 §7.3.3).
        let header = |names: [&str; 2]| names.map(|name| line(last.0, name)).concat();
        assert!(header(["To: ", "t: "]).contains(";tag="), "{}", last.0);
        let contact = header(["Contact: ", "m: "]);
        let (_, host) = contact.split_once('@').unwrap_or_default();
        assert!(host.starts_with(&format!("{address}:")), "{contact}");
        assert_eq!(line(last.1, "c="), format!("c=IN IP4 {address}"));
        assert!(
            !last.1.contains("a=candidate") && !last.1.contains("a=ice"),
            "{}",
            last.1
        );
        let session = |description: &str| {
            let origin = line(description, "o=");
            let words = origin.split(' ').map(str::to_owned);
            let (version, rest): (Vec<_>, Vec<_>) =
                words.enumerate().partition(|(place, _)| *place == 2);
            let version = version
                .first()
                .and_then(|(_, word)| word.parse::<u64>().ok());
            (rest, version.expect("a version"))
        };
        let [(began, version), (goes_on, later)] = [first, last].map(|offer| session(offer.1));
        assert_eq!(began, goes_on);
        assert_eq!(later, version + 1);
    }

    /// Every step stands in the record of the phone: what happened in its order, then what was done about
    /// it, by the account and the call side by side.
    fn check_trace(&self, happened: &[&str]) {
        let [ours, _] = &self.settings;
        let story = recorded(ours);
        let mut rest = story.as_str();
        for step in happened {
            let Some(at) = rest.find(step) else {
                panic!("“{step}” is missing, or too early, in\n{story}");
            };
            rest = &rest[at..];
        }
        for step in [
            "signs in anew because of the network",
            "the network changed; the peer is told",
            "REGISTER sip:",
            "INVITE sip:",
            "the call goes on from the new address",
        ] {
            assert!(rest.contains(step), "“{step}” is missing in\n{rest}");
        }
    }
}

/// What the phone with these settings has recorded.
fn recorded(settings: &std::path::Path) -> String {
    let mut command = program::command(settings);
    command.args(["trace", "export", "--no-redact", "--config"]);
    process::output(command.arg(settings))
}
