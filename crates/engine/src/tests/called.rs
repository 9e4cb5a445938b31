//! Whom a call from outside is for.

use std::net::SocketAddr;

use model::{AccountSettings, CallState, Command, Snapshot};
use sip_message::StatusCode;

use super::house::{House, tenant, tone};
use super::peer::{Peer, SDP, free_addr};
use crate::GivenAccount;

/// The port that the account of this user sends from, once its trace shows it.
pub(super) fn listens_at(state: &Snapshot, user: &str) -> Option<u16> {
    let aor = format!("sip:{user}@");
    let account = state
        .accounts
        .iter()
        .find(|account| account.settings.aor.reveal().starts_with(&aor))?;
    state.trace.iter().find_map(|record| match &record.body {
        model::TraceBody::Sip {
            sent: true, local, ..
        } if record.account.as_ref() == Some(&account.id) => {
            local.rsplit_once(':')?.1.parse::<u16>().ok()
        }
        _ => None,
    })
}

/// Somebody who signs in nowhere and is called directly.
fn direct(aor: &str, bind: Option<SocketAddr>) -> GivenAccount {
    let mut settings = AccountSettings::new(aor);
    settings.register = false;
    settings.bind = bind.map(|bind| bind.to_string());
    GivenAccount {
        logins: Vec::new(),
        settings,
        password: None,
        relay_password: None,
    }
}

/// Calls this address there; gives whose phone rings, and ends the call.
async fn rings(house: &mut House, peer: &Peer, at: SocketAddr, uri: &str, cseq: u32) -> String {
    let invite = peer
        .says("INVITE", cseq, None, SDP)
        .replacen("sip:carol@127.0.0.1 SIP", &format!("{uri} SIP"), 1)
        .replace("Call-ID: c1@", &format!("Call-ID: c{cseq}@"));
    peer.send(at, &invite).await;
    let call = house.until_ringing().await;
    let account = house.call(call).account;
    house.engine.send(Command::RejectCall { call, code: None });
    house.until_state(call, CallState::Ended).await;
    house.engine.hub.read(|state| {
        let mut accounts = state.accounts.iter();
        let account = accounts
            .find(|a| a.id == account)
            .expect("it has an account");
        account.settings.aor.reveal().to_owned()
    })
}

#[tokio::test]
async fn extension_100_at_three_pbxes_rings_at_the_one_that_is_called() {
    let aors = ["sip:100@a.test", "sip:100@b.test", "sip:100@c.test"];
    let places = aors.map(|_| free_addr());
    let given = aors.iter().zip(places);
    let given = given.map(|(aor, at)| direct(aor, Some(at))).collect();
    let mut house = House::start(vec![tenant("Solo", given)], tone()).await;
    house
        .until("all are there", |s| (s.accounts.len() == 3).then_some(()))
        .await;
    let peer = Peer::bind_at("127.0.0.6").await;
    let mut cseq = 0;
    for (aor, at) in aors.iter().zip(places) {
        // By its domain, and by the port alone: many a PBX calls what it knows of the phone.
        for uri in [(*aor).to_owned(), format!("sip:100@{at}")] {
            cseq += 1;
            assert_eq!(
                rings(&mut house, &peer, at, &uri, cseq).await,
                *aor,
                "{uri}"
            );
        }
    }
    // The domain says more than the port: a proxy may know one port for all of them.
    let rang = rings(&mut house, &peer, places[0], "sip:100@C.test", 9).await;
    assert_eq!(rang, "sip:100@c.test");
    house.close().await;
}

#[tokio::test]
async fn a_number_that_is_nobodys_address_is_for_the_only_account_at_the_server_that_calls() {
    let mut house = House::open().await;
    let peer = Peer::bind().await;
    let bob = house.until("Bob's port", |s| listens_at(s, "bob")).await;
    let at = SocketAddr::from(([127, 0, 0, 1], bob));
    for (cseq, uri) in [(1, "sip:+4930123456@192.0.2.7"), (2, "sip:192.0.2.7")] {
        let rang = rings(&mut house, &peer, at, uri, cseq).await;
        assert_eq!(rang, "sip:bob@beta.test");
    }
    // RFC 3261 §11.2: whoever asks by OPTIONS is told what an INVITE would find.
    let mut asked = 10;
    let mut ask = async |method: &str, at: SocketAddr, user: &str| {
        asked += 1;
        let request = peer
            .says(method, asked, None, "")
            .replacen(
                "sip:carol@127.0.0.1 SIP",
                &format!("sip:{user}@192.0.2.7 SIP"),
                1,
            )
            .replace("Call-ID: c1@", &format!("Call-ID: c{asked}@"));
        peer.send(at, &request).await;
        loop {
            let response = peer.final_response().await;
            if response.headers.cseq().expect("a CSeq").number == asked {
                return response.status;
            }
        }
    };
    assert_eq!(ask("OPTIONS", at, "+4930123456").await, StatusCode::OK);
    // What looks like a number is one, and the Contact of an earlier start is none: the present one is called, too.
    assert_eq!(ask("OPTIONS", at, "030-12345678").await, StatusCode::OK);
    for method in ["OPTIONS", "INVITE"] {
        let outdated = ask(method, at, "bob-0badcafe").await;
        assert_eq!(outdated, StatusCode::NOT_FOUND, "{method}");
    }
    let alice = house
        .until("Alice's port", |s| listens_at(s, "alice"))
        .await;
    let shared = SocketAddr::from(([127, 0, 0, 1], alice));
    // Alice and Amy share a server: nobody can tell whose number that is.
    for method in ["OPTIONS", "INVITE"] {
        let status = ask(method, shared, "+4930123456").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method}");
    }
    house.close().await;
}
