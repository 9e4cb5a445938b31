//! A peer that says exactly what a test wants, byte by byte.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use sip_message::{HeaderName, Message, Method, Request, Response};
use tokio::net::{ToSocketAddrs, UdpSocket};

use super::house::{House, tenant};
use crate::{CallMedia, EngineConfig, GivenAccount};
use model::AccountSettings;

/// A session description with PCMU.
pub(super) const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

/// How many times two seconds something may take that is certain to come.
const PATIENCE: usize = 10;

/// A socket that speaks SIP by hand.
pub(super) struct Peer {
    socket: UdpSocket,
    pub(super) local: SocketAddr,
}

impl Peer {
    pub(super) async fn bind() -> Self {
        Self::bind_at("127.0.0.1").await
    }

    /// At another address of this machine, which is another source.
    pub(super) async fn bind_at(ip: &str) -> Self {
        Self::bind_to((ip, 0)).await.expect("a port is free")
    }

    /// At this address, which may be taken.
    pub(super) async fn bind_to(at: impl ToSocketAddrs) -> io::Result<Self> {
        let socket = UdpSocket::bind(at).await?;
        let local = socket.local_addr().expect("it is bound");
        Ok(Self { socket, local })
    }

    pub(super) async fn send(&self, to: SocketAddr, text: &str) {
        self.socket
            .send_to(text.as_bytes(), to)
            .await
            .expect("it can be sent");
    }

    /// The next message within two seconds, and where it came from.
    pub(super) async fn receive(&self) -> Option<(Message, SocketAddr)> {
        let mut buffer = vec![0; 65_535];
        let receiving = self.socket.recv_from(&mut buffer);
        let (length, from) = tokio::time::timeout(Duration::from_secs(2), receiving)
            .await
            .ok()?
            .expect("the socket works");
        Some((Message::parse(&buffer[..length]).expect("it is SIP"), from))
    }

    /// The next message, on a machine that has much else to do.
    async fn awaited(&self) -> Option<(Message, SocketAddr)> {
        for _ in 0..PATIENCE {
            if let Some(message) = self.receive().await {
                return Some(message);
            }
        }
        None
    }

    /// The octets of the next datagram within two seconds, whatever they are.
    pub(super) async fn octets(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_535];
        let receiving = self.socket.recv_from(&mut buffer);
        let (length, _) = tokio::time::timeout(Duration::from_secs(2), receiving)
            .await
            .ok()?
            .expect("the socket works");
        buffer.truncate(length);
        Some(buffer)
    }

    /// The next final response.
    pub(super) async fn final_response(&self) -> Response {
        loop {
            match self.awaited().await {
                Some((Message::Response(response), _)) if response.status.is_final() => {
                    return response;
                }
                Some(_) => {}
                None => panic!("no final response came"),
            }
        }
    }

    /// The next request of this method.
    pub(super) async fn request(&self, method: Method) -> (Request, SocketAddr) {
        loop {
            match self.awaited().await {
                Some((Message::Request(request), from)) if request.method == method => {
                    return (request, from);
                }
                Some(_) => {}
                None => panic!("no {method} came"),
            }
        }
    }

    /// A request of ours to carol, by default the first of call `c1`.
    pub(super) fn says(&self, method: &str, cseq: u32, to_tag: Option<&str>, body: &str) -> String {
        let local = self.local;
        let to_tag = to_tag.map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        format!(
            "{method} sip:carol@127.0.0.1 SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch=z9hG4bK-{method}-{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:dan@127.0.0.1>;tag=dan-1\r\n\
             To: <sip:carol@127.0.0.1>{to_tag}\r\nCall-ID: c1@{local}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:dan@{local}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// A request with more headers in it.
pub(super) fn with(request: &str, headers: &str) -> String {
    request.replacen("Max-Forwards:", &format!("{headers}Max-Forwards:"), 1)
}

/// An engine with carol, who signs in nowhere and may be called by anybody at this address.
pub(super) async fn carol(media: CallMedia) -> (House, SocketAddr) {
    carol_with(media, |_| {}).await
}

/// The same with settings of the test's own.
pub(super) async fn carol_with(
    media: CallMedia,
    change: impl FnOnce(&mut AccountSettings),
) -> (House, SocketAddr) {
    carol_as(media, change, |_| {}).await
}

/// The same in a program that is set up otherwise.
pub(super) async fn carol_as(
    media: CallMedia,
    change: impl FnOnce(&mut AccountSettings),
    program: impl FnOnce(&mut EngineConfig),
) -> (House, SocketAddr) {
    let addr = free_addr();
    let mut settings = AccountSettings::new("sip:carol@127.0.0.1");
    settings.register = false;
    settings.bind = Some(addr.to_string());
    change(&mut settings);
    let given = GivenAccount {
        logins: Vec::new(),
        settings,
        password: None,
        relay_password: None,
    };
    let mut house = House::start_with(vec![tenant("Solo", vec![given])], media, program).await;
    house
        .until("carol is there", |s| s.accounts.first().map(|_| ()))
        .await;
    (house, addr)
}

/// A port that nobody uses, for UDP and TCP alike.
pub(super) fn free_addr() -> SocketAddr {
    loop {
        let udp = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let addr = udp.local_addr().expect("it is bound");
        if std::net::TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
}

/// The tag that the other side gave itself.
pub(super) fn to_tag(response: &Response) -> String {
    let to = response.headers.to().expect("there is a To");
    to.tag().expect("it has a tag").to_owned()
}

/// The plain answer to a request.
pub(super) fn answer(request: &Request, line: &str, more: &str, body: &str) -> String {
    let mut text = format!("SIP/2.0 {line}\r\n");
    for name in [
        HeaderName::Via,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
    ] {
        for value in request.headers.get_all(name.clone()) {
            let tag = if name == HeaderName::To && !value.contains("tag=") {
                ";tag=peer"
            } else {
                ""
            };
            text.push_str(&format!("{name}: {value}{tag}\r\n"));
        }
    }
    text.push_str(&format!(
        "{more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    text
}

/// SIP by hand over a connection.
pub(super) mod stream {
    use std::time::Duration;

    use sip_message::framer::{Frame, StreamFramer};
    use sip_message::{Message, Method, Request, Response, StatusCode};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    pub(in crate::tests) async fn write(stream: &mut TcpStream, text: &str) {
        stream
            .write_all(text.as_bytes())
            .await
            .expect("it can be written");
    }

    /// The next request of this method.
    pub(in crate::tests) async fn request(stream: &mut TcpStream, method: Method) -> Request {
        loop {
            if let Message::Request(request) = message(stream).await
                && request.method == method
            {
                return request;
            }
        }
    }

    /// The next response with this status.
    pub(in crate::tests) async fn response(stream: &mut TcpStream, status: StatusCode) -> Response {
        loop {
            if let Message::Response(response) = message(stream).await
                && response.status == status
            {
                return response;
            }
        }
    }

    /// The next message, without a byte of the one behind it.
    async fn message(stream: &mut TcpStream) -> Message {
        let mut framer = StreamFramer::default();
        let mut octet = [0];
        loop {
            while let Some(frame) = framer.poll().expect("it is SIP") {
                if let Frame::Message(bytes) = frame {
                    return Message::parse(&bytes).expect("it is SIP");
                }
            }
            let reading = stream.read(&mut octet);
            let length = tokio::time::timeout(Duration::from_secs(5), reading)
                .await
                .expect("something comes")
                .expect("the connection lives");
            assert!(length > 0, "the connection ended before a message came");
            framer.push(&octet[..length]);
        }
    }
}
