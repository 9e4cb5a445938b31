//! Several servers behind one name.

use std::net::{IpAddr, Ipv4Addr};

use model::{CallState, RegistrationState, TargetState};

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
async fn rfc3263_4_3_a_503_to_one_number_leads_on_for_that_call_alone() {
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

    // RFC 3261 §21.5.4, without Retry-After and with it.
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
        // Whoever answered is no more untried, and nobody rests.
        let seen = house
            .until("both servers are told as they are", |s| {
                let targets = &s.accounts.first()?.targets;
                let seen: Vec<_> = targets.iter().map(|t| (t.state, &t.reason)).collect();
                let wanted = [(TargetState::InUse, &None), (TargetState::Working, &None)];
                (seen == wanted).then(|| targets.clone())
            })
            .await;
        assert_eq!(seen[0].address, format!("udp:{}", one.local));
    }

    // The next call begins where the registration is.
    let call = house.dial("alice", "8003").await;
    let first = invite(&one, "8003").await;
    one.send(from, &answer(&first, "486 Busy Here", "", ""))
        .await;
    house.until_state(call, CallState::Ended).await;
    assert_eq!(house.account("alice").state, RegistrationState::Registered);
    house.close().await;
}
