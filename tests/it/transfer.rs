//! Blind transfers with baresip at the other end: it is sent on by us, and sends us on.

use serde_json::{Value, json};

use crate::rig::baresip::{Answers, Baresip, Hears, Setup};
use crate::rig::control::Control;
use crate::rig::folder::Folder;
use crate::rig::program::{self, Account, Program, SOON};
use crate::rig::{ports, seconds, switchboard};

#[test]
fn baresip_calls_whom_it_is_sent_to_and_we_leave() {
    let folder = Folder::new("transfer_baresip");
    let (mut carol, port) = carol(&folder);
    let bob = baresip(&folder);
    let mut alice = Alice::start(&folder, "alice");
    let call = alice.dial(bob.port);
    alice.tell(
        "transfer_call",
        &json!({"call": call, "target": format!("sip:carol@127.0.0.1:{port}")}),
    );
    carol.wait_call("connected");
    let ended = alice.until("the end of the call that was sent on", |seen| {
        (seen["id"] == call && seen["state"] == "ended").then(|| seen.clone())
    });
    assert_eq!(ended["transfer"]["state"], "done", "{ended}");
    assert_eq!(ended["transfer"]["status"][0], 200, "{ended}");
    assert!(ended["failure"].is_null(), "{ended}");
    drop(bob);
}

#[test]
fn we_call_whom_baresip_sends_us_to_and_it_leaves() {
    let folder = Folder::new("transfer_by_baresip");
    let (mut carol, port) = carol(&folder);
    let mut bob = baresip(&folder);
    let mut alice = Alice::start(&folder, "alice");
    let call = alice.dial(bob.port);
    bob.command("transfer", &format!("sip:carol@127.0.0.1:{port}"));
    alice.until("word of a transfer", |seen| {
        (seen["id"] == call && seen["transfer"]["kind"] == "wanted").then_some(())
    });
    alice.tell("answer_transfer", &json!({"call": call, "accept": true}));
    let new = alice.until("the call to go elsewhere", |seen| {
        let follows = seen["id"] == call && seen["transfer"]["kind"] == "following";
        follows.then(|| seen["transfer"]["call"].clone())
    });
    carol.wait_call("connected");
    alice.until("sound from whom we were sent to", |seen| {
        let heard = seen["stats"]["received"].as_u64() > Some(50);
        (seen["id"] == new && seen["state"] == "connected" && heard).then_some(())
    });
    // It was told that we got there, and hangs up.
    alice.until("the end of the call with baresip", |seen| {
        (seen["id"] == call && seen["state"] == "ended").then_some(())
    });
    alice.tell("end_call", &json!({"call": new}));
    carol.finish(SOON).assert_code(0);
}

fn baresip(folder: &Folder) -> Baresip {
    let setup = Setup {
        address: "bob@127.0.0.1",
        proxy_port: None,
        codecs: "PCMU/8000/1",
        hears: Hears::Echo,
        answers: Answers::AtOnce,
        encryption: None,
        tries_ways_at: None,
        reports_apart: false,
    };
    Baresip::start(folder, "bob", &setup)
}

/// Who is reached at last.
fn carol(folder: &Folder) -> (Program, u16) {
    let port = ports::free();
    let account = Account::new(
        "sip:carol@127.0.0.1",
        &format!("--no-register --transport udp --codecs pcmu --bind 127.0.0.1:{port}"),
    );
    let carol = Program::start(folder, "carol", "answer", &account, "--count 1 --echo");
    switchboard::wait_taken(port, || {});
    (carol, port)
}

/// Our phone, driven over its control socket.
struct Alice {
    control: Control,
    account: Value,
    _program: Program,
}

impl Alice {
    fn start(folder: &Folder, name: &str) -> Self {
        let home = folder.inner(name);
        let socket = home.join("control");
        let mut command = program::command(&home);
        command.args(["headless", "--audio", "null", "--json", "--control"]);
        command
            .arg(&socket)
            .arg("--config")
            .arg(home.join("settings"));
        let program = Program::spawn(folder, name, &mut command);
        let mut control = Control::connect(&socket);
        control.call(
            "add_account",
            &json!({"settings": {"aor": "sip:alice@127.0.0.1", "register": false, "bind": "127.0.0.1:0",
                "transport": "udp", "codecs": ["pcmu"]}}),
        );
        let account = control.wait_for("the account", SOON, |state| {
            Some(state["accounts"].as_array()?.first()?["id"].clone())
        });
        Self {
            control,
            account,
            _program: program,
        }
    }

    fn tell(&mut self, method: &str, params: &Value) {
        self.control.call(method, params);
    }

    fn until<T>(&mut self, what: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        self.control.wait_for(what, seconds(15), |state| {
            state["calls"].as_array()?.iter().find_map(&find)
        })
    }

    /// Calls a port of this machine, and hears something.
    fn dial(&mut self, port: u16) -> Value {
        let target = format!("sip:bob@127.0.0.1:{port}");
        self.tell(
            "place_call",
            &json!({"account": self.account, "target": target}),
        );
        self.until("a call with sound", |call| {
            let heard = call["stats"]["received"].as_u64() > Some(20);
            (call["state"] == "connected" && heard).then(|| call["id"].clone())
        })
    }
}
