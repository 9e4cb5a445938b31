//! Media through a relay (TURN) that others wrote: by every way to it, and without it where it says no.

use crate::rig::coturn::Coturn;
use crate::rig::folder::Folder;
use crate::rig::program::{Account, Outcome, Program, SOON, is};
use crate::rig::{ports, seconds, sound, switchboard, until};

/// The speech that is compared: four seconds at 8 kHz.
const COMPARED: usize = 32_000;

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
    let original = sound::read(&speech);
    let original = &original[..COMPARED.min(original.len())];
    let likeness = sound::typical_likeness(original, &sound::read(&heard));
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
