//! Two organisations in one program: one signs in at kamailio's `north.test`, one at `south.test`, and
//! they call each other.

use serde_json::{Value, json};

use crate::rig::control::Control;
use crate::rig::folder::Folder;
use crate::rig::kamailio::Kamailio;
use crate::rig::program::{self, Program, SOON};
use crate::rig::seconds;

#[test]
fn two_tenants_of_one_program_call_each_other() {
    let folder = Folder::new("tenants");
    let kamailio = Kamailio::start(&folder);
    let home = folder.inner("tipring");
    let socket = home.join("control");
    let mut command = program::command(&home);
    command
        .arg("headless")
        .arg("--control")
        .arg(&socket)
        .args(["--audio", "null", "--json", "--config"]);
    command.arg(home.join("settings"));
    let _program = Program::spawn(&folder, "tipring", &mut command);
    let mut control = Control::connect(&socket);

    for (name, user, domain) in [
        ("North", "alice", "north.test"),
        ("South", "bob", "south.test"),
    ] {
        control.call("add_tenant", &json!({"name": name}));
        let tenant = control.wait_for(name, SOON, |state| find(state, "tenants", "name", name));
        control.call(
            "add_account",
            &json!({"tenant": tenant["id"], "password": "secret", "settings": {
                "aor": format!("sip:{user}@{domain}"), "register": true, "expires_s": 60, "transport": "udp",
                "bind": "127.0.0.1:0", "codecs": ["pcmu"],
                "proxy": format!("sip:127.0.0.1:{};transport=udp;lr", kamailio.port)}}),
        );
    }
    let accounts = control.wait_for("two registrations", SOON, |state| {
        let accounts = state["accounts"].as_array()?;
        let are_registered = accounts.len() == 2
            && accounts
                .iter()
                .all(|account| account["state"] == "registered");
        are_registered.then(|| accounts.clone())
    });
    assert_ne!(accounts[0]["tenant"], accounts[1]["tenant"], "{accounts:?}");

    control.call(
        "place_call",
        &json!({"account": accounts[0]["id"], "target": "sip:bob@south.test"}),
    );
    let ringing = control.wait_for("incoming call", SOON, |state| {
        find(state, "calls", "direction", "incoming").filter(|call| call["state"] == "ringing")
    });
    assert_eq!(ringing["account"], accounts[1]["id"], "{ringing}");
    assert_eq!(ringing["tenant"], accounts[1]["tenant"], "{ringing}");
    control.call("answer_call", &json!({"call": ringing["id"]}));
    control.wait_for("two connected legs with media", seconds(15), |state| {
        let calls = state["calls"].as_array()?;
        let talk = |call: &Value| {
            call["state"] == "connected" && call["stats"]["received"].as_u64() > Some(0)
        };
        (calls.len() == 2 && calls.iter().all(talk)).then_some(())
    });
    control.call("end_call", &json!({"call": ringing["id"]}));
    control.wait_for("end of both legs", SOON, |state| {
        let calls = state["calls"].as_array()?;
        calls
            .iter()
            .all(|call| call["state"] == "ended")
            .then_some(())
    });
    assert!(kamailio.log().contains("SEEN BYE"), "{}", kamailio.log());
}

fn find(state: &Value, list: &str, field: &str, value: &str) -> Option<Value> {
    let items = state[list].as_array()?;
    items.iter().find(|item| item[field] == value).cloned()
}
