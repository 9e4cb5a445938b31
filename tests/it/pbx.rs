//! A call through a telephone system that others wrote: baresip's back-to-back user agent takes each call as
//! a call of its own, makes another one, and sends sound and digits from one to the other.

use std::fs;
use std::process::Command;

use crate::rig::baresip;
use crate::rig::folder::Folder;
use crate::rig::process::Process;
use crate::rig::program::{Account, Program, SOON, is};
use crate::rig::{ports, seconds, sound, switchboard};

#[test]
fn a_call_goes_through_a_telephone_system_with_sound_and_digits_and_ends_at_both_ends() {
    let folder = Folder::new("pbx");
    let speech = sound::speech(&folder, 48_000);
    let heard = folder.join("heard.wav");
    let port = ports::free();
    let bob = account("bob").with(&format!("--bind 127.0.0.1:{port}"));
    let mut bob = Program::start(&folder, "bob", "answer", &bob, "--echo --count 1");
    switchboard::wait_taken(port, || {});
    let mut pbx = Pbx::start(&folder, port);
    let args = format!(
        "sip:bob@127.0.0.1:{} --for 14s --dtmf-send 42# --play {} --record {}",
        pbx.port,
        speech.display(),
        heard.display()
    );
    let alice = Program::start(&folder, "alice", "call", &account("alice"), &args);
    bob.wait_call("connected");
    for (count, digit) in [(1, "4"), (2, "2"), (3, "#")] {
        let event = bob.wait_for_nth("digit", count, SOON, |event| is(event, "dtmf"));
        assert_eq!(event["digit"], digit, "{event}");
    }
    alice.finish(seconds(40)).assert_code(0);
    // The other leg is a call of its own: that it ended was told by the system.
    bob.finish(SOON).assert_code(0);
    pbx.process.assert_alive();
    // There and back, through four jitter buffers.
    let echo = sound::typical_likeness(&sound::read(&speech), &sound::read(&heard));
    assert!(echo >= 0.8, "the speech came back like itself by {echo}");
}

fn account(user: &str) -> Account {
    Account::new(
        format!("sip:{user}@127.0.0.1"),
        "--no-register --transport udp --codecs pcmu",
    )
}

/// The system. Whoever is called at its port is called at `behind` in turn.
struct Pbx {
    process: Process,
    port: u16,
}

impl Pbx {
    fn start(folder: &Folder, behind: u16) -> Self {
        let run = folder.inner("pbx");
        let port = ports::free();
        let rtp = ports::free_run(40);
        let settings = SETTINGS
            .replace("@PORT@", &port.to_string())
            .replace("@RTP@", &format!("{rtp}-{}", rtp + 38))
            .replace("@MODULES@", &baresip::modules().display().to_string());
        let accounts = ACCOUNTS.replace("@BEHIND@", &behind.to_string());
        for (name, text) in [("config", settings), ("accounts", accounts)] {
            fs::write(run.join(name), text).expect("settings can be written");
        }
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "baresip", "-4", "-f"]);
        command.arg(&run).env("HOME", &run);
        let mut process = Process::start("pbx", folder, &mut command);
        switchboard::wait_taken(port, || process.assert_alive());
        Self { process, port }
    }
}

const ACCOUNTS: &str = "\
<sip:pbx@127.0.0.1;transport=udp>;regint=0;audio_codecs=PCMU/8000/1;b2bua=inbound
<sip:trunk@127.0.0.1;transport=udp>;regint=0;audio_codecs=PCMU/8000/1;b2bua=outbound;outbound=\"sip:127.0.0.1:@BEHIND@;transport=udp\"
";

const SETTINGS: &str = "\
poll_method epoll
sip_listen 127.0.0.1:@PORT@
net_interface 127.0.0.1
audio_source aubridge,leg
audio_player aubridge,leg
audio_alert aubridge,alert
audio_level no
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
rtp_ports @RTP@
jitter_buffer_type fixed
jitter_buffer_delay 2-10
module_path @MODULES@
module g711.so
module aubridge.so
module_tmp uuid.so
module_tmp account.so
module_app b2bua.so
";
