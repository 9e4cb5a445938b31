//! Text messages from the command line, through a server that others wrote.

use crate::rig::folder::Folder;
use crate::rig::kamailio::Kamailio;
use crate::rig::program::{Program, SOON, is};
use crate::rig::seconds;

#[test]
fn a_message_reaches_the_other_phone_and_the_exit_status_says_so() {
    let folder = Folder::new("message");
    let kamailio = Kamailio::start(&folder);
    let bob = kamailio.account("bob@south.test", "udp");
    let mut bob = Program::start(&folder, "bob", "answer", &bob, "");
    bob.wait_registered();
    let alice = kamailio.account("alice@north.test", "udp");
    let sent = Program::start(
        &folder,
        "alice",
        "message",
        &alice,
        "sip:bob@south.test hello",
    )
    .finish(seconds(15));
    sent.assert_code(0);
    let delivered =
        |event: &serde_json::Value| is(event, "message") && event["state"] == "delivered";
    assert!(sent.events.iter().any(delivered), "{}", sent.story);
    let came = bob.wait_for("the message", SOON, |event| {
        is(event, "message") && event["direction"] == "incoming"
    });
    assert_eq!(came["text"], "hello", "{came}");

    let nobody = Program::start(
        &folder,
        "nobody",
        "message",
        &alice,
        "sip:nobody@south.test hello",
    )
    .finish(seconds(15));
    nobody.assert_code(1);
    let failed = |event: &serde_json::Value| is(event, "message") && event["code"].is_u64();
    assert!(nobody.events.iter().any(failed), "{}", nobody.story);
}
