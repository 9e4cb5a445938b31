//! The messages that the tests show in the trace.

use model::*;

use crate::scene::at;

/// A message as it is recorded.
pub(crate) struct Wire<'a> {
    pub(crate) time: &'a str,
    pub(crate) tenant: &'a str,
    pub(crate) account: &'a str,
    pub(crate) sent: bool,
    pub(crate) peer: &'a str,
    pub(crate) start: &'a str,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: &'a str,
    pub(crate) sdp: bool,
}

impl Wire<'_> {
    pub(crate) fn record(&self, id: u64) -> TraceRecord {
        let body = if self.sdp {
            "v=0\r\no=- 3971 1 IN IP4 192.0.2.5\r\ns=-\r\nc=IN IP4 192.0.2.5\r\nt=0 0\r\n\
             m=audio 40012 RTP/AVP 96 0 8 101\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n"
        } else {
            ""
        };
        let kind = if self.sdp {
            "Content-Type: application/sdp\r\n"
        } else {
            ""
        };
        let login = if self.cseq == "2 INVITE" && self.sent {
            "Proxy-Authorization: Digest username=\"reception\", realm=\"acme.example\", nonce=\"5f2a\", \
             uri=\"sip:bob@acme.example\", response=\"6629fae49393a05397450978507c4ef1\"\r\n"
        } else {
            ""
        };
        let text = format!(
            "{}\r\nVia: SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bK{id:08x};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{}>;tag=8f2c1\r\nTo: <sip:{}>\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:x7k2@192.0.2.5:5060>\r\nUser-Agent: Tipring/0.1.0\r\n{login}{kind}Content-Length: {}\r\n\r\n{body}",
            self.start,
            self.from,
            self.to,
            self.call_id,
            self.cseq,
            body.len()
        );
        TraceRecord {
            id,
            time: at(self.time),
            tenant: TenantId::new(self.tenant),
            account: Some(AccountId::new(self.account)),
            call: None,
            body: TraceBody::Sip {
                sent: self.sent,
                transport: Transport::Udp,
                local: "192.0.2.5:5060".to_owned(),
                peer: self.peer.to_owned(),
                bytes: text.into_bytes().into(),
            },
        }
    }
}

/// A call that is challenged, redirected through silence and refused; another that works; and noise.
pub(crate) fn trace() -> Vec<TraceRecord> {
    let rows: [(&str, char, bool, &str, &str, bool); 21] = [
        (
            "14:30:00.001",
            'o',
            true,
            "OPTIONS sip:acme.example SIP/2.0",
            "1 OPTIONS",
            false,
        ),
        (
            "14:30:00.019",
            'o',
            false,
            "SIP/2.0 200 OK",
            "1 OPTIONS",
            false,
        ),
        (
            "14:30:02.114",
            'r',
            true,
            "REGISTER sip:acme.example SIP/2.0",
            "7 REGISTER",
            false,
        ),
        (
            "14:30:02.131",
            'r',
            false,
            "SIP/2.0 200 OK",
            "7 REGISTER",
            false,
        ),
        (
            "14:31:10.402",
            'a',
            true,
            "INVITE sip:bob@acme.example SIP/2.0",
            "1 INVITE",
            true,
        ),
        (
            "14:31:10.421",
            'a',
            false,
            "SIP/2.0 407 Proxy Authentication Required",
            "1 INVITE",
            false,
        ),
        (
            "14:31:10.422",
            'a',
            true,
            "ACK sip:bob@acme.example SIP/2.0",
            "1 ACK",
            false,
        ),
        (
            "14:31:10.424",
            'a',
            true,
            "INVITE sip:bob@acme.example SIP/2.0",
            "2 INVITE",
            true,
        ),
        (
            "14:31:10.440",
            'a',
            false,
            "SIP/2.0 100 Trying",
            "2 INVITE",
            false,
        ),
        (
            "14:31:10.611",
            'a',
            false,
            "SIP/2.0 180 Ringing",
            "2 INVITE",
            false,
        ),
        (
            "14:31:14.903",
            'a',
            false,
            "SIP/2.0 200 OK",
            "2 INVITE",
            true,
        ),
        (
            "14:31:14.905",
            'a',
            true,
            "ACK sip:bob@192.0.2.77:5060 SIP/2.0",
            "2 ACK",
            false,
        ),
        (
            "14:31:20.000",
            'b',
            true,
            "INVITE sip:4711@northwind.example SIP/2.0",
            "1 INVITE",
            true,
        ),
        (
            "14:31:20.034",
            'b',
            false,
            "SIP/2.0 100 Trying",
            "1 INVITE",
            false,
        ),
        (
            "14:31:20.460",
            'b',
            false,
            "SIP/2.0 486 Busy Here",
            "1 INVITE",
            false,
        ),
        (
            "14:31:20.461",
            'b',
            true,
            "ACK sip:4711@northwind.example SIP/2.0",
            "1 ACK",
            false,
        ),
        (
            "14:31:33.250",
            'x',
            true,
            "REGISTER sip:pbx.acme.example SIP/2.0",
            "3 REGISTER",
            false,
        ),
        (
            "14:31:33.268",
            'x',
            false,
            "SIP/2.0 403 Forbidden",
            "3 REGISTER",
            false,
        ),
        (
            "14:31:41.700",
            'a',
            true,
            "INVITE sip:bob@192.0.2.77:5060 SIP/2.0",
            "3 INVITE",
            true,
        ),
        (
            "14:31:41.722",
            'a',
            false,
            "SIP/2.0 200 OK",
            "3 INVITE",
            true,
        ),
        (
            "14:32:01.118",
            'a',
            false,
            "BYE sip:x7k2@192.0.2.5:5060 SIP/2.0",
            "1 BYE",
            false,
        ),
    ];
    let mut records: Vec<TraceRecord> = rows
        .iter()
        .enumerate()
        .map(|(index, (clock, dialog, sent, start, cseq, sdp))| {
            let (tenant, account, peer, from, to, call_id) = match dialog {
                'a' => (
                    "acme",
                    "a1",
                    "192.0.2.17:5060",
                    "reception@acme.example",
                    "bob@acme.example",
                    "c7b1f0@192.0.2.5",
                ),
                'b' => (
                    "north",
                    "n1",
                    "198.51.100.40:5060",
                    "dora@northwind.example",
                    "4711@northwind.example",
                    "99aa01@192.0.2.5",
                ),
                'x' => (
                    "acme",
                    "a3",
                    "203.0.113.9:5060",
                    "4711@pbx.acme.example",
                    "4711@pbx.acme.example",
                    "reg-x@192.0.2.5",
                ),
                _ => (
                    "acme",
                    "a1",
                    "192.0.2.17:5060",
                    "reception@acme.example",
                    "reception@acme.example",
                    "reg-a@192.0.2.5",
                ),
            };
            Wire {
                time: &format!("2026-11-20T{clock}Z"),
                tenant,
                account,
                sent: *sent,
                peer,
                start,
                from,
                to,
                call_id,
                cseq,
                sdp: *sdp,
            }
            .record(index as u64 + 1)
        })
        .collect();
    records.insert(
        12,
        TraceRecord {
            id: 900,
            time: at("2026-11-20T14:31:15.020Z"),
            tenant: TenantId::new("acme"),
            account: Some(AccountId::new("a1")),
            call: Some(CallId(1)),
            body: TraceBody::Note {
                topic: "media".to_owned(),
                text: "First packet from 192.0.2.77:40208; announced was 10.0.0.12:40208.".into(),
                sip_call_id: Some("c7b1f0@192.0.2.5".to_owned()),
            },
        },
    );
    records
}
