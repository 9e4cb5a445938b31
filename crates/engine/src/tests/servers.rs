//! Several servers behind one name.

use std::net::{IpAddr, Ipv4Addr};

use model::{CallState, RegistrationState, TargetState};

use super::house::{House, account, messages, switchboard, tenant, tone};

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
