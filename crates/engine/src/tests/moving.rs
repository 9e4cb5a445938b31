//! The machine in another network: who is told, and who minds.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use model::{RegistrationState, Snapshot};

use super::house::{House, messages};
use crate::network::Moved;
use crate::phone::PhoneMsg;

fn asked(state: &Snapshot) -> usize {
    messages(state, true, "REGISTER sip:")
}

fn moved(gone: [u8; 4]) -> PhoneMsg {
    PhoneMsg::Moved(Arc::new(Moved {
        gone: BTreeSet::from([IpAddr::V4(Ipv4Addr::from(gone))]),
        ..Moved::default()
    }))
}

#[tokio::test]
async fn accounts_of_every_tenant_sign_in_anew_when_their_way_may_be_another() {
    let mut house = House::open().await;
    // Each asked, was asked for its password, and asked again.
    house
        .until("the record of it", |s| (asked(s) == 6).then_some(()))
        .await;
    house.tell_phone(moved([127, 0, 0, 1]));
    house.until_notes("127.0.0.1 is gone", 2).await;
    house
        .until_notes("signs in anew because of the network", 3)
        .await;
    house.until_registered(3).await;
    for user in ["alice", "amy", "bob"] {
        assert_eq!(house.account(user).state, RegistrationState::Registered);
    }
    house
        .until("three more", |s| (asked(s) >= 9).then_some(()))
        .await;
    house.close().await;
}

#[tokio::test]
async fn a_change_on_another_interface_disturbs_nobody() {
    let mut house = House::open().await;
    // Each asked, was asked for its password, and asked again.
    house
        .until("the record of it", |s| (asked(s) == 6).then_some(()))
        .await;
    house.tell_phone(moved([10, 0, 0, 9]));
    house.until_notes("10.0.0.9 is gone", 2).await;
    // By then it has been handled.
    let call = house.dial("alice", "sip:bob@beta.test").await;
    house.until_state(call, model::CallState::Ringing).await;
    assert_eq!(house.engine.hub.read(asked), 6);
    house.close().await;
}
