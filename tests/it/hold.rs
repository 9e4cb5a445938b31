//! Hold and resume, driven over the JSON-RPC socket: what each end hears before, meanwhile and after.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::rig::baresip::{Answers, Baresip, Hears, Setup};
use crate::rig::control::Control;
use crate::rig::folder::Folder;
use crate::rig::program::{self, Account, Program, SOON};
use crate::rig::{ports, seconds, sound, switchboard, until};

#[test]
fn baresip_is_silent_while_it_is_held_and_takes_the_resume() {
    let folder = Folder::new("hold_baresip");
    let speech = sound::speech(&folder, 48_000);
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
    let mut bob = Baresip::start(&folder, "bob", &setup);
    let mut call = Call::place(&folder, &speech, bob.port);
    call.wait_received("echo", 50);
    call.check_silent_while_held();
    // baresip 1.0.0 does not start its bridge of speaker and microphone again, so that only its
    // word can be had here; the echo below is ours.
    call.resume();
    assert_eq!(
        bob.log().matches("got re-INVITE").count(),
        2,
        "{}",
        bob.log()
    );
    call.end();
    bob.wait_event("the end of the call", SOON, |event| {
        event["type"] == "CALL_CLOSED"
    });
}

#[test]
fn an_echo_stops_with_the_hold_and_returns_with_the_resume() {
    let folder = Folder::new("hold_echo");
    let speech = sound::speech(&folder, 48_000);
    let port = ports::free();
    let bob = Account::new(
        "sip:bob@127.0.0.1",
        &format!("--no-register --transport udp --codecs pcmu --bind 127.0.0.1:{port}"),
    );
    let mut bob = Program::start(&folder, "bob", "answer", &bob, "--count 1 --echo");
    switchboard::wait_taken(port, || {});
    let mut call = Call::place(&folder, &speech, port);
    call.wait_received("echo", 50);
    let after = call.check_silent_while_held();
    bob.wait_call("held");
    call.resume();
    call.wait_received("echo after the hold", after + 50);
    call.end();
    bob.finish(SOON).assert_code(0);
}

/// A call that a headless program makes, and the program.
pub(crate) struct Call {
    pub(crate) control: Control,
    id: Value,
    _program: Program,
}

impl Call {
    /// Calls a port of this machine, playing speech without end.
    pub(crate) fn place(folder: &Folder, speech: &Path, port: u16) -> Self {
        Self::place_with(folder, port, &json!({}), |command| {
            command
                .args(["--audio", "null", "--loop", "--play"])
                .arg(speech);
        })
    }

    /// The same with sound, and what is done to it, as it is asked for.
    pub(crate) fn place_with(
        folder: &Folder,
        port: u16,
        voice: &Value,
        sound: impl FnOnce(&mut Command),
    ) -> Self {
        let home = folder.inner("alice");
        let socket = home.join("control");
        let mut command = program::command(&home);
        command
            .args(["headless", "--json", "--control"])
            .arg(&socket);
        command.arg("--config").arg(home.join("settings"));
        sound(&mut command);
        let program = Program::spawn(folder, "alice", &mut command);
        let mut control = Control::connect(&socket);
        control.call(
            "add_account",
            &json!({"settings": {"aor": "sip:alice@127.0.0.1", "register": false, "bind": "127.0.0.1:0",
                "transport": "udp", "codecs": ["pcmu"], "voice": voice}}),
        );
        let account = control.wait_for("account", SOON, |state| {
            state["accounts"][0]["id"].as_str().map(str::to_owned)
        });
        control.call(
            "place_call",
            &json!({"account": account, "target": format!("sip:bob@127.0.0.1:{port}")}),
        );
        let id = control.wait_for("connected call", SOON, |state| {
            let call = &state["calls"][0];
            (call["state"] == "connected").then(|| call["id"].clone())
        });
        Self {
            control,
            id,
            _program: program,
        }
    }

    fn hold(&mut self) {
        self.control.call("hold_call", &json!({"call": self.id}));
        self.control.wait_for("held call", SOON, |state| {
            let call = &state["calls"][0];
            (call["state"] == "held" && call["held_by_us"] == true).then_some(())
        });
    }

    /// Holds, and gives the count of packets that then stands still.
    fn check_silent_while_held(&mut self) -> u64 {
        self.hold();
        // What was on its way arrives, and the figures are a second old; on a busy machine older. Sound that
        // went on would bring a hundred packets in each of these spans.
        let mut before = self.received();
        until("silence while it is held", seconds(20), || {
            std::thread::sleep(seconds(2));
            let after = self.received();
            let came = after - std::mem::replace(&mut before, after);
            (came < 5).then_some(())
        });
        before
    }

    fn resume(&mut self) {
        self.control.call("resume_call", &json!({"call": self.id}));
        self.control.wait_for("resumed call", SOON, |state| {
            let call = &state["calls"][0];
            (call["state"] == "connected" && call["held_by_us"] == false).then_some(())
        });
    }

    pub(crate) fn end(&mut self) {
        self.control.call("end_call", &json!({"call": self.id}));
        self.control.wait_for("ended call", SOON, |state| {
            let call = &state["calls"][0];
            (call.is_null() || call["state"] == "ended").then_some(())
        });
    }

    fn received(&mut self) -> u64 {
        self.control.snapshot()["calls"][0]["stats"]["received"]
            .as_u64()
            .unwrap_or(0)
    }

    fn wait_received(&mut self, what: &str, more_than: u64) {
        self.control.wait_for(what, SOON, |state| {
            let received = state["calls"][0]["stats"]["received"].as_u64();
            (received > Some(more_than)).then_some(())
        });
    }
}
