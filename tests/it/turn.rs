//! Media through a relay (TURN) that others wrote: by every way to it, and without it where it says no.

use crate::rig::coturn::Coturn;
use crate::rig::dns::NameServer;
use crate::rig::folder::Folder;
use crate::rig::program::{Account, Outcome, Program, SOON, is};
use crate::rig::{ports, seconds, sound, switchboard, until};

/// Alice calls somebody who repeats what is said, with this account. Gives how she did, and where the other one's media
/// came from.
fn call_echo(folder: &Folder, name: &str, alice: &Account) -> (Outcome, String) {
    let home = |who: &str| format!("{who}-{name}");
    let speech = sound::speech(&Folder::new(&format!("turn_speech_{name}")), 48_000);
    let heard = folder.join(format!("heard-{name}.wav"));
    let port = ports::free();
    let bob = Account::new(
        "sip:bob@127.0.0.1",
        &format!("--no-register --transport udp --codecs pcmu --bind 127.0.0.1:{port}"),
    );
    let mut bob = Program::start(folder, &home("bob"), "answer", &bob, "--count 1 --echo");
    switchboard::wait_taken(port, || {});
    let args = format!(
        "sip:bob@127.0.0.1:{port} --for 6s --play {} --record {}",
        speech.display(),
        heard.display()
    );
    let alice = Program::start(folder, &home("alice"), "call", alice, &args).finish(seconds(30));
    alice.assert_code(0);
    let from = bob.wait_for("media", SOON, |event| {
        is(event, "media") && event["actual_peer"].is_string()
    });
    bob.finish(SOON).assert_code(0);
    let likeness = sound::begins_like(&speech, &heard);
    assert!(
        likeness >= 0.9,
        "{name}: the echo is like the speech by {likeness}"
    );
    let from = from["actual_peer"].as_str().unwrap_or_default().to_owned();
    (alice, from)
}

fn alice(more: &str) -> Account {
    Account::new(
        "sip:alice@127.0.0.1",
        &format!("--no-register --transport udp --codecs pcmu --bind 127.0.0.1:0 {more}"),
    )
}

#[test]
fn speech_goes_both_ways_through_a_relay_by_udp_tcp_and_tls_and_its_address_is_given_back() {
    let folder = Folder::new("turn_carriers");
    let coturn = Coturn::start(&folder);
    let calls = std::thread::scope(|scope| {
        let calls = ["udp", "tcp", "tls"].map(|carrier| {
            let (folder, coturn) = (&folder, &coturn);
            scope.spawn(move || {
                let more = format!(
                    "--turn {} --tls-ca {}",
                    coturn.uri(carrier),
                    coturn.ca.display()
                );
                let (_, from) = call_echo(folder, carrier, &alice(&more));
                (carrier, from)
            })
        });
        calls.map(|call| call.join().expect("each of them goes through"))
    });
    println!("\nway to the relay  where the peer sees our media");
    for (carrier, from) in calls {
        println!("{carrier:<16}  {from}");
        assert!(coturn.gives(&from), "{carrier}: {from}\n{}", coturn.log());
    }
    until("all addresses to be given back", SOON, || {
        let log = coturn.log();
        (log.matches("lifetime=0").count() >= 3).then_some(())
    });
}

#[test]
fn without_a_relay_that_takes_us_the_call_goes_on_as_ever() {
    let folder = Folder::new("turn_refused");
    let coturn = Coturn::start(&folder);
    let account = alice(&format!("--turn {}", coturn.uri("udp"))).with_password("wrong");
    let (_, from) = call_echo(&folder, "refused", &account);
    assert!(!coturn.gives(&from), "{from}");
    let log = coturn.log();
    assert!(log.contains("401"), "{log}");
}

#[test]
fn a_stun_server_of_others_tells_where_our_media_is_seen() {
    let folder = Folder::new("turn_stun");
    let coturn = Coturn::start(&folder);
    let account = alice(&format!("--stun 127.0.0.1:{}", coturn.port));
    let (outcome, _) = call_echo(&folder, "stun", &account);
    assert!(!outcome.story.contains("is not known"), "{}", outcome.story);
}

/// What a name server of the test's own says about these relays, in dnsmasq's words.
fn relays(by_udp: [u16; 2], by_tcp: u16, by_tls: u16) -> Vec<String> {
    let [first, second] = by_udp;
    vec![
        format!("srv-host=_turn._udp.relay.test,one.relay.test,{first},10,1"),
        format!("srv-host=_turn._udp.relay.test,two.relay.test,{second},20,1"),
        format!("srv-host=_turn._tcp.relay.test,two.relay.test,{by_tcp},10,1"),
        format!("srv-host=_turns._tcp.relay.test,two.relay.test,{by_tls},10,1"),
        format!("srv-host=_turns._tcp.wrong.test,two.relay.test,{by_tls},10,1"),
        format!("srv-host=_stun._udp.relay.test,one.relay.test,{first},10,1"),
        format!("srv-host=_stun._udp.relay.test,two.relay.test,{second},20,1"),
        "naptr-record=other.test,10,10,s,RELAY:turn.tcp,,_turn._tcp.relay.test".to_owned(),
        "naptr-record=other.test,20,10,s,RELAY:turn.udp,,_turn._udp.relay.test".to_owned(),
        "host-record=one.relay.test,127.0.0.1".to_owned(),
        "host-record=two.relay.test,127.0.0.1".to_owned(),
    ]
}

/// RFC 5928, RFC 8489 §8.1: relays and STUN servers are found by their domain.
#[test]
fn a_relay_is_found_by_its_domain_and_the_next_one_where_the_first_is_silent() {
    let folder = Folder::new("turn_srv");
    let coturn = Coturn::start(&folder);
    // It takes datagrams and says nothing.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let silent_port = silent.local_addr().expect("it is bound").port();
    let records = relays([silent_port, coturn.port], coturn.port, coturn.tls_port);
    let names = NameServer::start(&folder, &records);
    let none = NameServer::start(&folder, &relays([silent_port; 2], silent_port, silent_port));
    // RFC 5928 §5: the certificate has to be for what the settings name, and not for what DNS made of it.
    let [tls, wrong] = ["relay", "wrong"].map(|name| {
        let ca = coturn.ca.display();
        format!("--tls-ca {ca} --turn turns:{name}.test")
    });
    let cases = [
        ("srv_udp", names.port, "--turn turn:relay.test", true),
        (
            "srv_tcp",
            names.port,
            "--turn turn:relay.test?transport=tcp",
            true,
        ),
        ("srv_tls", names.port, &tls, true),
        ("srv_wrong", names.port, &wrong, false),
        ("naptr", names.port, "--turn turn:other.test", true),
        ("srv_stun", names.port, "--stun stun:relay.test", false),
        ("srv_none", none.port, "--turn turn:relay.test", false),
    ];
    let calls = std::thread::scope(|scope| {
        let calls = cases.map(|(name, dns, more, relayed)| {
            let folder = &folder;
            scope.spawn(move || {
                let account = alice(&format!("--dns 127.0.0.1:{dns} {more}"));
                let (outcome, from) = call_echo(folder, name, &account);
                (name, more, relayed, outcome, from)
            })
        });
        calls.map(|call| call.join().expect("each of them goes through"))
    });
    println!("\nfound by   setting                                where the peer sees our media");
    for (name, more, relayed, outcome, from) in calls {
        let setting = more.rsplit("--").next().unwrap_or(more);
        println!("{name:<9}  --{setting:<35}  {from}");
        assert_eq!(
            coturn.gives(&from),
            relayed,
            "{name}: {from}\n{}",
            coturn.log()
        );
        let recorded = recorded(&folder.join(format!("alice-{name}")));
        let is_told = |words: &str| recorded.contains(words);
        match name {
            "srv_none" => {
                let step = format!("it does not answer, at 127.0.0.1:{silent_port} by udp");
                assert!(is_told(&step), "{}", outcome.story);
            }
            "srv_wrong" => {
                assert!(is_told("certificate"), "{}", outcome.story);
            }
            "srv_stun" => assert!(is_told("the STUN server sees our media at"), "{name}"),
            _ => assert!(is_told("the relay gives our media"), "{name}"),
        }
    }
}

/// What the flight recorder has under this home.
fn recorded(home: &std::path::Path) -> String {
    let entries = std::fs::read_dir(home).into_iter().flatten().flatten();
    let texts = entries.map(|entry| {
        let path = entry.path();
        match path.extension() {
            _ if path.is_dir() => recorded(&path),
            Some(kind) if kind == "trace" => {
                let bytes = std::fs::read(&path).unwrap_or_default();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            _ => String::new(),
        }
    });
    texts.collect()
}
