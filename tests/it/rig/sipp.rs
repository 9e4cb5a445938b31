//! SIPp: a call generator that others wrote.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::folder::Folder;
use super::ports;
use super::process::{Process, tail};

/// A running SIPp.
pub(crate) struct Sipp {
    process: Process,
    pub(crate) port: u16,
    name: String,
    errors: std::path::PathBuf,
}

/// What it does.
pub(crate) enum Scenario<'a> {
    /// One of its own, by name: `uac` or `uas`.
    BuiltIn(&'a str),
    /// A file of ours, given as its text.
    Text(&'a str),
}

impl Sipp {
    /// Starts it. `args` are split at blanks; a port of its own, the folder for its logs and the end
    /// after `calls` calls are added.
    pub(crate) fn start(
        folder: &Folder,
        name: &str,
        scenario: &Scenario<'_>,
        calls: u32,
        args: &str,
    ) -> Self {
        let run = folder.inner(name);
        let port = ports::free();
        let media = ports::free_run(4);
        let errors = run.join("errors.log");
        let mut command = Command::new("sipp");
        match scenario {
            Scenario::BuiltIn(which) => command.args(["-sn", which]),
            Scenario::Text(text) => {
                let path = run.join("scenario.xml");
                fs::write(&path, text).expect("a scenario can be written");
                command.arg("-sf").arg(path)
            }
        };
        command
            .args(args.split_whitespace())
            .args(["-i", "127.0.0.1", "-p", &port.to_string()])
            .args(["-mi", "127.0.0.1", "-mp", &media.to_string()])
            .args(["-m", &calls.to_string()])
            .args(["-nostdin", "-trace_err", "-error_file"])
            .arg(&errors)
            .current_dir(&run)
            // Without a terminal it would still draw its screens.
            .env("TERM", "dumb");
        Self {
            process: Process::start(name, folder, &mut command),
            port,
            name: name.to_owned(),
            errors,
        }
    }

    pub(crate) fn assert_alive(&mut self) {
        self.process.assert_alive();
    }

    /// Waits for its end and checks that every call went well: its exit status says so.
    pub(crate) fn assert_all_went_well(mut self, limit: Duration) {
        let status = self.process.wait(limit);
        assert!(
            status.success(),
            "{}: {status}: {}\nerrors:\n{}",
            self.name,
            tail(&self.process.log()),
            first_lines(&self.errors)
        );
    }
}

fn first_lines(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().take(40).collect::<Vec<_>>().join("\n")
}

/// Calls through a lossy relay. Like the built-in caller, but the answers are asked for at the
/// address that the request came from (RFC 3581), and so go through the relay too.
pub(crate) const LOSSY_CALLER: &str = r#"<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller behind a relay">
  <send retrans="500">
    <![CDATA[
      INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
      From: caller <sip:caller@[local_ip]:[local_port]>;tag=[pid]c[call_number]
      To: <sip:[service]@[remote_ip]:[remote_port]>
      Call-ID: [call_id]
      CSeq: 1 INVITE
      Contact: <sip:caller@[local_ip]:[local_port]>
      Max-Forwards: 70
      Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=caller 53655765 2353687637 IN IP[local_ip_type] [local_ip]
      s=-
      c=IN IP[media_ip_type] [media_ip]
      t=0 0
      m=audio [media_port] RTP/AVP 0
      a=rtpmap:0 PCMU/8000
    ]]>
  </send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200" rrs="true"/>
  <send>
    <![CDATA[
      ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
      From: caller <sip:caller@[local_ip]:[local_port]>;tag=[pid]c[call_number]
      To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 1 ACK
      Max-Forwards: 70
      Content-Length: 0
    ]]>
  </send>
  <pause/>
  <send retrans="500">
    <![CDATA[
      BYE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
      From: caller <sip:caller@[local_ip]:[local_port]>;tag=[pid]c[call_number]
      To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 2 BYE
      Max-Forwards: 70
      Content-Length: 0
    ]]>
  </send>
  <recv response="200"/>
</scenario>
"#;
