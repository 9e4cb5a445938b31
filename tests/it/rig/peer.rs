//! A SIP peer of a few lines on one UDP socket, for what no real one does: several answers to one
//! request, messages at the wrong time, odd grants.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::program::SOON;

/// The socket.
pub(crate) struct Peer {
    socket: UdpSocket,
    pub(crate) port: u16,
}

/// What it heard.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) text: String,
    pub(crate) from: SocketAddr,
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self::at(super::ports::free())
    }

    pub(crate) fn at(port: u16) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
        Self { socket, port }
    }

    /// The next message; nothing when none comes for so long.
    pub(crate) fn hear(&self, patience: Duration) -> Option<Heard> {
        let deadline = Instant::now() + patience;
        let mut buffer = vec![0; 65_536];
        loop {
            let left = deadline.checked_duration_since(Instant::now())?;
            // A time-out of zero would be none at all.
            let left = left.max(Duration::from_millis(1));
            self.socket
                .set_read_timeout(Some(left))
                .expect("a time-out can be set");
            // Besides time-outs there are ICMP errors of what was sent before.
            let Ok((count, from)) = self.socket.recv_from(&mut buffer) else {
                continue;
            };
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            if !text.trim().is_empty() {
                return Some(Heard { text, from });
            }
        }
    }

    /// The next request or response that begins like this; others are passed over.
    pub(crate) fn wait(&self, start: &str) -> Heard {
        let deadline = Instant::now() + SOON;
        let mut others = Vec::new();
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match self.hear(left) {
                Some(heard) if heard.text.starts_with(start) => return heard,
                Some(heard) => others.push(heard.first_line()),
                None => break,
            }
        }
        panic!("no {start} came, but {others:?}");
    }

    pub(crate) fn send(&self, to: SocketAddr, text: &str) {
        // An ICMP error of an earlier datagram shows here; the second word counts.
        if self.socket.send_to(text.as_bytes(), to).is_err() {
            self.socket
                .send_to(text.as_bytes(), to)
                .expect("a datagram can be sent");
        }
    }

    /// Answers a request. `tag` goes into To when there is none yet; `more` are header lines, and after
    /// an empty line a body.
    pub(crate) fn answer(&self, request: &Heard, status: &str, tag: &str, more: &str) {
        self.send(request.from, &request.answered(status, tag, more));
    }
}

impl Heard {
    pub(crate) fn first_line(&self) -> String {
        self.text.lines().next().unwrap_or_default().to_owned()
    }

    /// The value of the first header of that name.
    pub(crate) fn header(&self, name: &str) -> &str {
        let named = |line: &&str| {
            line.split_once(':')
                .is_some_and(|(found, _)| found.trim().eq_ignore_ascii_case(name))
        };
        self.text
            .lines()
            .take_while(|line| !line.is_empty())
            .find(named)
            .and_then(|line| line.split_once(':'))
            .map_or("", |(_, value)| value.trim())
    }

    /// The URI between angle brackets.
    pub(crate) fn uri(&self, header: &str) -> &str {
        let value = self.header(header);
        let (_, rest) = value.split_once('<').unwrap_or(("", value));
        rest.split_once('>').map_or(rest, |(uri, _)| uri)
    }

    /// A response to this, as text.
    pub(crate) fn answered(&self, status: &str, tag: &str, more: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for line in self.text.lines().take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default().trim();
            let kept = ["Via", "From", "Call-ID", "CSeq"];
            if kept.iter().any(|kept| name.eq_ignore_ascii_case(kept)) {
                text.push_str(&format!("{line}\r\n"));
            } else if name.eq_ignore_ascii_case("To") {
                let tag = match line.contains(";tag=") || tag.is_empty() {
                    true => String::new(),
                    false => format!(";tag={tag}"),
                };
                text.push_str(&format!("{line}{tag}\r\n"));
            }
        }
        with_body(text, more)
    }
}

/// Appends header lines and a body, with its length.
pub(crate) fn with_body(mut text: String, more: &str) -> String {
    let (headers, body) = more.split_once("\r\n\r\n").unwrap_or((more, ""));
    if !headers.is_empty() {
        text.push_str(headers.trim_end());
        text.push_str("\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    text
}

/// A session description of G.711 at this port of this machine.
pub(crate) fn description(port: u16) -> String {
    format!(
        "v=0\r\no=peer 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\n"
    )
}
