//! Each timer at its RFC value, each arm of the machines, in virtual time.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use sip_message::{HeaderName, Message, Method, Request, Response, StatusCode};

use super::{
    ClientInvite, ClientNonInvite, ClientOutput, ServerInvite, ServerNonInvite, ServerOutput,
};
use crate::path::TransportError;
use crate::stateless;
use crate::timers::Timers;

const BRANCH: &str = "z9hG4bKtest";

fn request(method: &str) -> Request {
    let text = format!(
        "{method} sip:bob@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch={BRANCH};rport\r\n\
         Max-Forwards: 70\r\n\
         Route: <sip:proxy.example.com;lr>\r\n\
         From: <sip:alice@example.com>;tag=a\r\n\
         To: <sip:bob@example.com>\r\n\
         Call-ID: c\r\n\
         CSeq: 7 {method}\r\n\
         Proxy-Authorization: Digest username=\"a\"\r\n\
         Contact: <sip:alice@192.0.2.1>\r\n\
         Content-Length: 0\r\n\r\n"
    );
    match Message::parse(text.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn response(to: &Request, code: u16, tag: &str) -> Response {
    stateless::response(to, StatusCode::new(code).unwrap(), Some(tag))
}

/// What a machine did, in words, with the time in ms since the start.
trait Machine {
    fn deadline(&self) -> Option<Instant>;
    fn handle_timeout(&mut self, now: Instant);
    fn poll_word(&mut self) -> Option<String>;
}

fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().next().unwrap_or_default();
    match line.strip_prefix("SIP/2.0 ") {
        Some(status) => status.split(' ').next().unwrap_or_default().to_owned(),
        None => line.split(' ').next().unwrap_or_default().to_owned(),
    }
}

fn client_word(output: ClientOutput) -> String {
    match output {
        ClientOutput::Send(bytes) => format!("send {}", first_line(&bytes)),
        ClientOutput::Deliver(response) => format!("deliver {}", response.status.code()),
        ClientOutput::TimedOut => "timed out".to_owned(),
        ClientOutput::TransportFailed(_) => "transport failed".to_owned(),
        ClientOutput::Terminated => "terminated".to_owned(),
    }
}

fn server_word(output: ServerOutput) -> String {
    match output {
        ServerOutput::Send(bytes) => format!("send {}", first_line(&bytes)),
        ServerOutput::Ack(_) => "ack".to_owned(),
        ServerOutput::TimedOut => "timed out".to_owned(),
        ServerOutput::TransportFailed(_) => "transport failed".to_owned(),
        ServerOutput::Terminated => "terminated".to_owned(),
    }
}

macro_rules! machine {
    ($type:ty, $word:ident) => {
        impl Machine for $type {
            fn deadline(&self) -> Option<Instant> {
                self.deadline()
            }
            fn handle_timeout(&mut self, now: Instant) {
                self.handle_timeout(now);
            }
            fn poll_word(&mut self) -> Option<String> {
                self.poll_output().map($word)
            }
        }
    };
}
machine!(ClientInvite, client_word);
machine!(ClientNonInvite, client_word);
machine!(ServerInvite, server_word);
machine!(ServerNonInvite, server_word);

/// Lets time pass up to `until_ms` and writes down what happens at which millisecond.
fn run(machine: &mut impl Machine, start: Instant, until_ms: u64) -> Vec<(u128, String)> {
    let end = start + Duration::from_millis(until_ms);
    let mut log = Vec::new();
    let mut now = start;
    loop {
        while let Some(word) = machine.poll_word() {
            log.push((now.saturating_duration_since(start).as_millis(), word));
        }
        match machine.deadline() {
            Some(next) if next <= end => {
                now = next;
                machine.handle_timeout(now);
            }
            _ => return log,
        }
    }
}

fn words(machine: &mut impl Machine) -> Vec<String> {
    std::iter::from_fn(|| machine.poll_word()).collect()
}

fn times(log: &[(u128, String)], word: &str) -> Vec<u128> {
    log.iter()
        .filter(|(_, other)| other == word)
        .map(|(at, _)| *at)
        .collect()
}

fn invite(start: Instant, reliable: bool) -> ClientInvite {
    ClientInvite::new(
        start,
        request("INVITE"),
        BRANCH,
        reliable,
        &Timers::default(),
    )
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

// ---- INVITE client ----

#[test]
fn timer_a_doubles_without_limit_and_timer_b_ends_it_at_64_t1() {
    let start = Instant::now();
    let mut client = invite(start, false);
    let log = run(&mut client, start, 100_000);
    assert_eq!(
        times(&log, "send INVITE"),
        [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]
    );
    assert_eq!(times(&log, "timed out"), [32_000]);
    assert_eq!(log.last().unwrap(), &(32_000, "terminated".to_owned()));
    assert!(client.is_terminated());
}

#[test]
fn on_reliable_transports_an_invite_is_sent_once_and_timer_b_still_runs() {
    let start = Instant::now();
    let mut client = invite(start, true);
    let log = run(&mut client, start, 100_000);
    assert_eq!(times(&log, "send INVITE"), [0]);
    assert_eq!(times(&log, "timed out"), [32_000]);
}

#[test]
fn a_provisional_stops_timers_a_and_b_for_ever() {
    let start = Instant::now();
    let mut client = invite(start, false);
    let ringing = response(client.request(), 180, "b");
    assert!(client.handle_response(start + ms(100), &ringing));
    assert!(client.is_proceeding());
    assert_eq!(client.deadline(), None);
    let log = run(&mut client, start, 1_000_000);
    assert_eq!(times(&log, "send INVITE"), [0]);
    assert_eq!(log.len(), 2);
}

#[test]
fn a_refusal_is_acked_and_each_repeat_of_it_again_until_timer_d_at_32_s() {
    let start = Instant::now();
    let mut client = invite(start, false);
    let busy = response(client.request(), 486, "b");
    words(&mut client);
    client.handle_response(start, &busy);
    assert_eq!(words(&mut client), ["send ACK", "deliver 486"]);
    client.handle_response(start + ms(500), &busy);
    client.handle_response(start + ms(1_500), &busy);
    assert_eq!(words(&mut client), ["send ACK", "send ACK"]);
    client.handle_timeout(start + ms(31_999));
    assert!(!client.is_terminated());
    client.handle_timeout(start + ms(32_000));
    assert_eq!(words(&mut client), ["terminated"]);
}

#[test]
fn on_reliable_transports_timer_d_is_zero() {
    let start = Instant::now();
    let mut client = invite(start, true);
    let busy = response(client.request(), 486, "b");
    client.handle_response(start, &busy);
    assert_eq!(
        words(&mut client),
        ["send INVITE", "send ACK", "deliver 486", "terminated"]
    );
}

#[test]
fn the_ack_to_a_refusal_has_the_invites_via_number_route_and_credentials_and_the_responses_to() {
    let start = Instant::now();
    let mut client = invite(start, false);
    let busy = response(client.request(), 486, "their-tag");
    words(&mut client);
    client.handle_response(start, &busy);
    let Some(ClientOutput::Send(bytes)) = client.poll_output() else {
        panic!("no ACK");
    };
    let Ok(Message::Request(ack)) = Message::parse(&bytes) else {
        panic!("not a request");
    };
    let sent = request("INVITE");
    assert_eq!(ack.method, Method::Ack);
    assert_eq!(ack.uri, sent.uri);
    for name in [
        HeaderName::Via,
        HeaderName::From,
        HeaderName::CallId,
        HeaderName::Route,
        HeaderName::ProxyAuthorization,
    ] {
        assert_eq!(ack.headers.get(&name), sent.headers.get(&name), "{name}");
    }
    assert_eq!(ack.headers.to().unwrap().tag(), Some("their-tag"));
    assert_eq!(ack.headers.get(HeaderName::CSeq), Some("7 ACK"));
    assert_eq!(ack.headers.get(HeaderName::Contact), None);
}

#[test]
fn a_cancel_copies_the_top_via_byte_for_byte_and_has_only_that_one() {
    let client = invite(Instant::now(), false);
    let cancel = client.cancel_request();
    let sent = request("INVITE");
    assert_eq!(cancel.method, Method::Cancel);
    assert_eq!(cancel.uri, sent.uri);
    let vias: Vec<_> = cancel.headers.get_all(HeaderName::Via).collect();
    assert_eq!(vias, [sent.headers.get(HeaderName::Via).unwrap()]);
    assert_eq!(cancel.headers.get(HeaderName::CSeq), Some("7 CANCEL"));
    assert_eq!(
        cancel.headers.get(HeaderName::Route),
        sent.headers.get(HeaderName::Route)
    );
    assert_eq!(cancel.headers.to().unwrap().tag(), None);
}

#[test]
fn every_2xx_of_every_fork_is_delivered_until_timer_m_at_64_t1() {
    let start = Instant::now();
    let mut client = invite(start, false);
    let one = response(client.request(), 200, "one");
    let two = response(client.request(), 200, "two");
    words(&mut client);
    client.handle_response(start, &one);
    client.handle_response(start + ms(10), &two);
    client.handle_response(start + ms(500), &one);
    assert_eq!(
        words(&mut client),
        ["deliver 200", "deliver 200", "deliver 200"]
    );
    // RFC 6026: a refusal of another branch is not for us any more.
    client.handle_response(start + ms(600), &response(client.request(), 486, "x"));
    assert_eq!(words(&mut client), [""; 0]);
    assert_eq!(client.ignored(), 1);
    client.handle_timeout(start + ms(31_999));
    assert!(!client.is_terminated());
    client.handle_timeout(start + ms(32_000));
    assert_eq!(words(&mut client), ["terminated"]);
}

#[test]
fn timer_m_runs_on_reliable_transports_too() {
    let start = Instant::now();
    let mut client = invite(start, true);
    client.handle_response(start, &response(client.request(), 200, "b"));
    assert_eq!(client.deadline(), Some(start + ms(32_000)));
}

#[test]
fn a_transport_error_ends_an_invite_that_nobody_answered() {
    let start = Instant::now();
    let mut client = invite(start, false);
    client.handle_transport_error(start, TransportError::Refused);
    assert_eq!(
        words(&mut client),
        ["send INVITE", "transport failed", "terminated"]
    );
}

#[test]
fn responses_with_another_branch_method_or_a_second_via_are_not_ours() {
    let start = Instant::now();
    let mut client = invite(start, false);
    let mut foreign = request("INVITE");
    foreign.headers.set(
        HeaderName::Via,
        "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKother",
    );
    assert!(!client.handle_response(start, &response(&foreign, 200, "b")));
    let mut method = request("INVITE");
    method.headers.set(HeaderName::CSeq, "7 OPTIONS");
    assert!(!client.handle_response(start, &response(&method, 200, "b")));
    let mut two = request("INVITE");
    two.headers.push(
        HeaderName::Via,
        "SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKsecond",
    );
    assert!(!client.handle_response(start, &response(&two, 200, "b")));
    assert_eq!(client.ignored(), 3);
    assert_eq!(words(&mut client), ["send INVITE"]);
}

// ---- non-INVITE client ----

fn bye(start: Instant, reliable: bool) -> ClientNonInvite {
    ClientNonInvite::new(start, &request("BYE"), BRANCH, reliable, &Timers::default())
}

#[test]
fn timer_e_doubles_up_to_t2_and_timer_f_ends_it_at_64_t1() {
    let start = Instant::now();
    let mut client = bye(start, false);
    let log = run(&mut client, start, 100_000);
    assert_eq!(
        times(&log, "send BYE"),
        [
            0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
        ]
    );
    assert_eq!(times(&log, "timed out"), [32_000]);
    assert_eq!(times(&log, "terminated"), [32_000]);
}

#[test]
fn after_a_provisional_timer_e_stays_at_t2_and_timer_f_goes_on() {
    let start = Instant::now();
    let mut client = bye(start, false);
    client.handle_response(start + ms(100), &response(&request("BYE"), 100, "b"));
    let log = run(&mut client, start, 100_000);
    assert_eq!(
        times(&log, "send BYE"),
        [0, 500, 4_500, 8_500, 12_500, 16_500, 20_500, 24_500, 28_500]
    );
    assert_eq!(times(&log, "timed out"), [32_000]);
}

#[test]
fn repeats_of_a_final_answer_are_absorbed_until_timer_k_at_t4() {
    let start = Instant::now();
    let mut client = bye(start, false);
    let ok = response(&request("BYE"), 200, "b");
    client.handle_response(start, &ok);
    client.handle_response(start + ms(10), &ok);
    assert_eq!(words(&mut client), ["send BYE", "deliver 200"]);
    client.handle_timeout(start + ms(4_999));
    assert!(!client.is_terminated());
    client.handle_timeout(start + ms(5_000));
    assert_eq!(words(&mut client), ["terminated"]);
}

#[test]
fn on_reliable_transports_timers_e_and_k_do_not_run() {
    let start = Instant::now();
    let mut client = bye(start, true);
    assert_eq!(client.deadline(), Some(start + ms(32_000)));
    client.handle_response(start, &response(&request("BYE"), 481, "b"));
    assert_eq!(
        words(&mut client),
        ["send BYE", "deliver 481", "terminated"]
    );
}

// ---- INVITE server ----

fn server_invite(start: Instant, reliable: bool) -> ServerInvite {
    ServerInvite::new(start, &request("INVITE"), reliable, &Timers::default())
}

#[test]
fn the_invite_server_says_100_after_200_ms_of_silence() {
    let start = Instant::now();
    let mut server = server_invite(start, false);
    assert_eq!(
        run(&mut server, start, 100_000),
        [(200, "send 100".to_owned())]
    );
}

#[test]
fn an_owner_who_speaks_within_200_ms_makes_the_100_needless() {
    let start = Instant::now();
    let mut server = server_invite(start, false);
    server.respond(start + ms(150), response(&request("INVITE"), 180, "b"));
    assert_eq!(server.deadline(), None);
    assert_eq!(words(&mut server), ["send 180"]);
}

#[test]
fn a_repeat_gets_the_last_provisional_again() {
    let start = Instant::now();
    let invite = request("INVITE");
    let mut server = server_invite(start, false);
    server.handle_request(start + ms(100), &invite);
    server.respond(start + ms(150), response(&invite, 180, "b"));
    server.respond(start + ms(160), response(&invite, 183, "b"));
    server.handle_request(start + ms(500), &invite);
    assert_eq!(
        words(&mut server),
        ["send 100", "send 180", "send 183", "send 183"]
    );
}

#[test]
fn timer_g_repeats_a_refusal_up_to_t2_and_timer_h_gives_up_at_64_t1() {
    let start = Instant::now();
    let mut server = server_invite(start, false);
    server.respond(start, response(&request("INVITE"), 486, "b"));
    let log = run(&mut server, start, 100_000);
    assert_eq!(
        times(&log, "send 486"),
        [
            0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
        ]
    );
    assert_eq!(times(&log, "timed out"), [32_000]);
    assert_eq!(times(&log, "terminated"), [32_000]);
}

#[test]
fn on_reliable_transports_a_refusal_is_not_repeated_by_time_and_h_still_runs() {
    let start = Instant::now();
    let mut server = server_invite(start, true);
    server.respond(start, response(&request("INVITE"), 486, "b"));
    let log = run(&mut server, start, 100_000);
    assert_eq!(times(&log, "send 486"), [0]);
    assert_eq!(times(&log, "timed out"), [32_000]);
}

#[test]
fn the_ack_stops_the_refusal_and_timer_i_ends_it_at_t4() {
    let start = Instant::now();
    let mut server = server_invite(start, false);
    server.respond(start, response(&request("INVITE"), 486, "b"));
    server.handle_request(start + ms(50), &request("INVITE"));
    server.handle_request(start + ms(100), &request("ACK"));
    server.handle_request(start + ms(200), &request("ACK"));
    server.handle_request(start + ms(300), &request("INVITE"));
    assert_eq!(words(&mut server), ["send 486", "send 486"]);
    assert_eq!(server.deadline(), Some(start + ms(5_100)));
    server.handle_timeout(start + ms(5_100));
    assert_eq!(words(&mut server), ["terminated"]);
}

#[test]
fn on_reliable_transports_timer_i_is_zero() {
    let start = Instant::now();
    let mut server = server_invite(start, true);
    server.respond(start, response(&request("INVITE"), 486, "b"));
    server.handle_request(start + ms(100), &request("ACK"));
    assert_eq!(words(&mut server), ["send 486", "terminated"]);
}

#[test]
fn a_repeated_invite_after_2xx_is_absorbed_until_timer_l_at_64_t1() {
    let start = Instant::now();
    let invite = request("INVITE");
    let mut server = server_invite(start, false);
    let ok = response(&invite, 200, "b");
    server.respond(start, ok.clone());
    server.handle_request(start + ms(500), &invite);
    assert_eq!(words(&mut server), ["send 200"]);
    server.respond(start + ms(500), ok);
    server.handle_request(start + ms(600), &request("ACK"));
    assert_eq!(words(&mut server), ["send 200", "ack"]);
    server.handle_timeout(start + ms(31_999));
    assert!(!server.is_terminated());
    server.handle_timeout(start + ms(32_000));
    assert_eq!(words(&mut server), ["terminated"]);
}

#[test]
fn nothing_follows_a_final_response_to_an_invite() {
    let start = Instant::now();
    let invite = request("INVITE");
    let mut server = server_invite(start, false);
    server.respond(start, response(&invite, 486, "b"));
    server.respond(start, response(&invite, 180, "b"));
    server.respond(start, response(&invite, 200, "b"));
    assert_eq!(words(&mut server), ["send 486"]);
    assert_eq!(server.ignored(), 2);
}

// ---- non-INVITE server ----

fn server_bye(start: Instant, reliable: bool) -> ServerNonInvite {
    ServerNonInvite::new(start, &request("BYE"), reliable, &Timers::default())
}

#[test]
fn a_repeated_request_gets_the_same_answer_until_timer_j_at_64_t1() {
    let start = Instant::now();
    let bye = request("BYE");
    let mut server = server_bye(start, false);
    server.handle_request(start + ms(10), &bye);
    assert_eq!(words(&mut server), [""; 0]);
    server.respond(start + ms(20), response(&bye, 200, "b"));
    server.handle_request(start + ms(500), &bye);
    assert_eq!(words(&mut server), ["send 200", "send 200"]);
    server.handle_timeout(start + ms(32_019));
    assert!(!server.is_terminated());
    server.handle_timeout(start + ms(32_020));
    assert_eq!(words(&mut server), ["terminated"]);
}

#[test]
fn on_reliable_transports_timer_j_is_zero() {
    let start = Instant::now();
    let mut server = server_bye(start, true);
    server.respond(start, response(&request("BYE"), 200, "b"));
    assert_eq!(words(&mut server), ["send 200", "terminated"]);
}

#[test]
fn rfc_4320_no_provisional_but_100_and_that_not_before_timer_e_is_at_t2() {
    let start = Instant::now();
    let bye = request("BYE");
    let mut server = server_bye(start, false);
    server.respond(start + ms(100), response(&bye, 180, "b"));
    server.respond(start + ms(100), response(&bye, 100, "b"));
    assert_eq!(words(&mut server), [""; 0]);
    assert_eq!(server.ignored(), 2);
    server.handle_timeout(start + ms(3_499));
    assert_eq!(words(&mut server), [""; 0]);
    server.handle_timeout(start + ms(3_500));
    assert_eq!(words(&mut server), ["send 100"]);
    server.handle_request(start + ms(7_500), &bye);
    assert_eq!(words(&mut server), ["send 100"]);
}

#[test]
fn rfc_4320_on_reliable_transports_the_owner_may_say_100_at_once() {
    let start = Instant::now();
    let mut server = server_bye(start, true);
    server.respond(start, response(&request("BYE"), 100, "b"));
    assert_eq!(words(&mut server), ["send 100"]);
}

#[test]
fn rfc_4320_a_408_is_never_sent() {
    let start = Instant::now();
    let mut server = server_bye(start, false);
    server.respond(start, response(&request("BYE"), 408, "b"));
    assert_eq!(words(&mut server), ["terminated"]);
}

#[test]
fn a_request_that_its_owner_forgets_ends_when_the_peer_gives_up() {
    let start = Instant::now();
    let mut server = server_bye(start, false);
    let log = run(&mut server, start, 100_000);
    assert_eq!(times(&log, "send 100"), [3_500]);
    assert_eq!(times(&log, "terminated"), [32_000]);
}

// ---- Odd clocks ----

#[test]
fn after_a_sleep_one_repeat_goes_out_and_not_all_those_missed() {
    let start = Instant::now();
    let mut client = bye(start, false);
    words(&mut client);
    client.handle_timeout(start + ms(20_000));
    assert_eq!(words(&mut client), ["send BYE"]);
    client.handle_timeout(start + ms(3_600_000));
    assert_eq!(words(&mut client), ["send BYE", "timed out", "terminated"]);
}

#[test]
fn timers_of_zero_do_not_repeat_for_ever_in_one_instant() {
    let timers = Timers {
        t1: Duration::ZERO,
        t2: Duration::ZERO,
        t4: Duration::ZERO,
    };
    let start = Instant::now();
    let mut client = ClientNonInvite::new(start, &request("BYE"), BRANCH, false, &timers);
    let mut server = ServerInvite::new(start, &request("INVITE"), false, &timers);
    server.respond(start, response(&request("INVITE"), 486, "b"));
    client.handle_timeout(start + ms(1));
    server.handle_timeout(start + ms(1));
    assert!(client.is_terminated() && server.is_terminated());
}

// ---- Any sequence ends ----

#[derive(Clone, Debug)]
enum Event {
    Response(u16),
    Request,
    Ack,
    Respond(u16),
    Error,
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (100_u16..700).prop_map(Event::Response),
        Just(Event::Request),
        Just(Event::Ack),
        (100_u16..700).prop_map(Event::Respond),
        Just(Event::Error),
        (0_u64..40_000).prop_map(Event::Wait),
    ]
}

proptest! {
    #[test]
    fn transactions_end_after_any_sequence_and_64_t1_of_idleness(
        events in proptest::collection::vec(event(), 0..40),
        reliable: bool,
    ) {
        let start = Instant::now();
        let mut now = start;
        let timers = Timers::default();
        let (invite, bye, ack) = (request("INVITE"), request("BYE"), request("ACK"));
        let mut client_invite = ClientInvite::new(now, invite.clone(), BRANCH, reliable, &timers);
        let mut client = ClientNonInvite::new(now, &bye, BRANCH, reliable, &timers);
        let mut server_invite = ServerInvite::new(now, &invite, reliable, &timers);
        let mut server = ServerNonInvite::new(now, &bye, reliable, &timers);
        for event in events {
            match event {
                Event::Response(code) => {
                    client_invite.handle_response(now, &response(&invite, code, "b"));
                    client.handle_response(now, &response(&bye, code, "b"));
                }
                Event::Request => {
                    server_invite.handle_request(now, &invite);
                    server.handle_request(now, &bye);
                }
                Event::Ack => server_invite.handle_request(now, &ack),
                Event::Respond(code) => {
                    server_invite.respond(now, response(&invite, code, "b"));
                    server.respond(now, response(&bye, code, "b"));
                }
                Event::Error => {
                    client_invite.handle_transport_error(now, TransportError::Closed);
                    client.handle_transport_error(now, TransportError::Closed);
                    server_invite.handle_transport_error(now, TransportError::Closed);
                    server.handle_transport_error(now, TransportError::Closed);
                }
                Event::Wait(wait) => {
                    now += ms(wait);
                    client_invite.handle_timeout(now);
                    client.handle_timeout(now);
                    server_invite.handle_timeout(now);
                    server.handle_timeout(now);
                }
            }
        }
        // Two INVITE states wait for their owner: ringing there, and an answer of ours here. The
        // owner ends both: by a final answer that comes or by one that it gives.
        client_invite.handle_response(now, &response(&invite, 487, "b"));
        server_invite.respond(now, response(&invite, 487, "b"));
        now += timers.patience();
        client_invite.handle_timeout(now);
        client.handle_timeout(now);
        server_invite.handle_timeout(now);
        server.handle_timeout(now);
        prop_assert!(client_invite.is_terminated() && client_invite.deadline().is_none());
        prop_assert!(client.is_terminated() && client.deadline().is_none());
        prop_assert!(server_invite.is_terminated() && server_invite.deadline().is_none());
        prop_assert!(server.is_terminated() && server.deadline().is_none());
        let ended = words(&mut client).iter().filter(|word| *word == "terminated").count();
        prop_assert_eq!(ended, 1);
    }
}
