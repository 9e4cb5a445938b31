//! Several servers behind one name.

use std::net::{IpAddr, Ipv4Addr};

use model::{CallState, RegistrationState, Sentence, TargetState, TraceBody};

use sip_message::{HeaderName, Method, Request};

use super::house::{House, account, messages, switchboard, tenant, tone};
use super::peer::{Peer, answer};

const NOBODY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[tokio::test]
async fn the_next_address_of_a_name_is_taken_and_calls_go_where_the_registration_is() {
    let (_switchboard, addr) = switchboard().await;
    let given = account("sip:alice@office.test", addr, |settings| {
        settings.proxy = Some(format!("sip:proxy.office.test:{};lr", addr.port()).into());
    });
    let mut house = House::start_with(vec![tenant("Office", vec![given])], tone(), |config| {
        let ips = [NOBODY.into(), IpAddr::from(Ipv4Addr::LOCALHOST)].to_vec();
        let name = "Proxy.Office.test".to_owned();
        config.naming.hosts.insert(name, ips);
    })
    .await;
    let alice = house
        .until("the list of servers is told", |s| {
            let alice = s.accounts.first()?;
            let in_use = alice.targets.iter().any(|t| t.state == TargetState::InUse);
            (alice.state == RegistrationState::Registered && in_use).then(|| alice.clone())
        })
        .await;
    assert_eq!(alice.target, Some(format!("udp:{addr}")));
    let seen: Vec<_> = alice
        .targets
        .iter()
        .map(|t| {
            (
                t.address.clone(),
                t.state,
                t.reason.as_ref().map(model::Sentence::reveal),
            )
        })
        .collect();
    let dead = format!("udp:{NOBODY}:{}", addr.port());
    assert_eq!(
        seen,
        [
            (dead, TargetState::Resting, Some("connection refused")),
            (format!("udp:{addr}"), TargetState::InUse, None),
        ]
    );
    assert!(alice.targets[0].until.is_some() && alice.targets[0].since.is_some());

    let call = house.dial("alice", "600").await;
    house.until_state(call, CallState::Connected).await;
    // The record is a little behind. One INVITE is challenged and one carries the answer.
    house
        .until("both INVITEs are in the record", |s| {
            (messages(s, true, "INVITE sip:") == 2).then_some(())
        })
        .await;
    house.close().await;
}

/// Two servers at one port of two addresses.
async fn two_servers() -> (Peer, Peer) {
    for _ in 0..16 {
        let one = Peer::bind().await;
        if let Ok(two) = Peer::bind_to((NOBODY, one.local.port())).await {
            return (one, two);
        }
    }
    panic!("no port is free at both addresses")
}

/// The INVITE to this number.
async fn invite(server: &Peer, number: &str) -> Request {
    loop {
        let (request, from) = server.request(Method::Invite).await;
        if request.uri.to_string().contains(number) {
            server
                .send(from, &answer(&request, "100 Trying", "", ""))
                .await;
            return request;
        }
    }
}

#[tokio::test]
async fn rfc3263_4_3_a_503_to_one_number_leads_on_and_with_a_retry_after_for_all_that_follow() {
    let (one, two) = two_servers().await;
    let port = one.local.port();
    let given = account("sip:alice@office.test", one.local, |settings| {
        settings.proxy = Some(format!("sip:proxy.office.test:{port};lr").into());
    });
    let mut house = House::start_with(vec![tenant("Office", vec![given])], tone(), |config| {
        let ips = vec![one.local.ip(), two.local.ip()];
        let name = "proxy.office.test".to_owned();
        config.naming.hosts.insert(name, ips);
    })
    .await;
    let (register, from) = one.request(Method::Register).await;
    let contact = register
        .headers
        .get(HeaderName::Contact)
        .expect("a Contact");
    let contact = format!("Contact: {contact}\r\nExpires: 3600\r\n");
    one.send(from, &answer(&register, "200 OK", &contact, ""))
        .await;
    house.until_registered(1).await;

    // RFC 3261 §21.5.4: nothing else is to go there for the time that it names, and where it names none the next call
    // begins there again.
    for (number, more) in [("8001", ""), ("8002", "Retry-After: 3600\r\n")] {
        let call = house.dial("alice", number).await;
        let first = invite(&one, number).await;
        let refusal = answer(&first, "503 Service Unavailable", more, "");
        one.send(from, &refusal).await;
        let second = invite(&two, number).await;
        two.send(from, &answer(&second, "486 Busy Here", "", ""))
            .await;
        let ended = house.until_state(call, CallState::Ended).await;
        let reason = format!("{:?}", ended.failure);
        assert!(reason.contains("486"), "{reason}");
        // Whoever answered is no more untried, and only who asked for it rests.
        let states = match more {
            "" => [TargetState::InUse, TargetState::Working],
            _ => [TargetState::Resting, TargetState::Working],
        };
        let seen = house
            .until("both servers are told as they are", |s| {
                let targets = &s.accounts.first()?.targets;
                let seen: Vec<_> = targets.iter().map(|target| target.state).collect();
                (seen == states).then(|| targets.clone())
            })
            .await;
        assert_eq!(seen[0].address, format!("udp:{}", one.local));
        let reason = seen[0].reason.as_ref().map(Sentence::reveal);
        let wanted = "503, asks again in 3600 s";
        assert_eq!(reason, (!more.is_empty()).then_some(wanted));
        let until = seen[0].until.zip(seen[0].since);
        let rest_ms = until.map(|(until, since)| until.since(since).as_millis());
        let longest = 600_000;
        assert!(
            rest_ms.is_none_or(|ms| ms.abs_diff(longest) <= 10),
            "{rest_ms:?}"
        );
        assert_eq!(rest_ms.is_some(), !more.is_empty());
    }

    // The next call does not begin where the registration is, which stays there.
    let call = house.dial("alice", "8003").await;
    let first = invite(&two, "8003").await;
    two.send(from, &answer(&first, "486 Busy Here", "", ""))
        .await;
    house.until_state(call, CallState::Ended).await;
    let to = |body: &TraceBody| match body {
        TraceBody::Sip { peer, bytes, .. } if bytes.starts_with(b"INVITE sip:8003") => {
            Some(peer.clone())
        }
        _ => None,
    };
    let asked = house
        .until("the call is in the trace", |s| {
            s.trace.iter().find_map(|record| to(&record.body))
        })
        .await;
    assert_eq!(asked, two.local.to_string(), "asked first");
    assert_eq!(house.account("alice").state, RegistrationState::Registered);
    house.close().await;
}
