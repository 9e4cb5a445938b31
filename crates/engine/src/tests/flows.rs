//! Flows to the registrar, its list of bindings, and what is seen of a registration over time.

use std::net::SocketAddr;

use model::{AccountView, CallState, Command, LoginKind, RegistrationState};
use sip_message::{HeaderName, Method, Request};

use super::house::{House, account, tenant, tone};
use super::peer::{Peer, SDP, answer, free_addr, to_tag};
use super::watching::{accept_registration, at_server};

async fn until_view(
    house: &mut House,
    what: &str,
    fits: impl Fn(&AccountView) -> bool,
) -> AccountView {
    house
        .until(what, |s| s.accounts.first().filter(|a| fits(a)).cloned())
        .await
}

fn reg_id(register: &Request) -> Option<String> {
    let contact = register.headers.contact().ok()?;
    contact.params.get("reg-id").map(str::to_owned)
}

/// RFC 5626 §4.2.
#[tokio::test]
async fn two_proxies_hold_a_flow_each_and_one_of_them_is_enough() {
    let (one, two) = (Peer::bind().await, Peer::bind().await);
    let second = two.local;
    let given = at_server(one.local, |s| {
        s.more_proxies = vec![format!("sip:{second};lr").into()];
    });
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    let outbound = "Require: outbound\r\nFlow-Timer: 120\r\n";
    let (first, _) = accept_registration(&one, outbound).await;
    let (other, _) = accept_registration(&two, outbound).await;
    assert_eq!(reg_id(&first).as_deref(), Some("1"));
    assert_eq!(reg_id(&other).as_deref(), Some("2"));
    let instance = |request: &Request| {
        let contact = request.headers.contact().expect("a Contact");
        contact.params.get("+sip.instance").map(str::to_owned)
    };
    assert_eq!(instance(&first), instance(&other));
    let view = until_view(&mut house, "both stand", |a| {
        a.flows
            .iter()
            .all(|f| f.state == RegistrationState::Registered)
    })
    .await;
    assert_eq!(view.flows.len(), 2);
    assert!(view.outbound && view.flows.iter().all(|f| f.flow_timer_s == Some(120)));
    // One is refused when it comes again: the account stands by the other.
    house.engine.send(Command::Register {
        account: view.id.clone(),
    });
    let (again, from) = one.request(Method::Register).await;
    one.send(from, &answer(&again, "403 Forbidden", "", ""))
        .await;
    accept_registration(&two, outbound).await;
    let view = until_view(&mut house, "one has fallen", |a| {
        a.flows[0].state == RegistrationState::Refused
    })
    .await;
    assert_eq!(view.state, RegistrationState::Registered);
    assert!(view.target.is_some_and(|t| t.contains(&second.to_string())));
    // RFC 5626 §4.3: calls ask to be reached on the flow.
    house.dial("carol", "dan").await;
    let (invite, _) = one.request(Method::Invite).await;
    let contact = invite.headers.contact().expect("a Contact").uri;
    assert!(contact.params.has("ob"), "{contact}");
    house.close().await;
}

/// RFC 5626 §2: by UDP a flow is a pair of addresses and ports.
#[tokio::test]
async fn two_flows_to_one_server_have_a_socket_each() {
    let registrar = Peer::bind().await;
    let given = at_server(registrar.local, |s| s.flows = 2);
    let bound = given.settings.bind.clone();
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    let mut flows = std::collections::BTreeMap::new();
    for _ in 0..2 {
        let (register, from) =
            accept_registration(&registrar, "Require: outbound\r\nFlow-Timer: 120\r\n").await;
        let via = register.headers.via_top().expect("a Via");
        let said = via.port.expect("a port");
        assert_eq!(said, from.port(), "answers find it without rport too");
        let contact = register.headers.contact().expect("a Contact");
        assert_eq!(contact.uri.port, Some(said), "and so do calls");
        flows.insert(reg_id(&register).expect("a number"), (from, contact.uri));
    }
    let [(first, _), (second, contact)] = ["1", "2"].map(|id| flows[id].clone());
    assert_eq!(
        bound,
        Some(first.to_string()),
        "where the account wants to be"
    );
    assert!(second.ip() == first.ip() && second.port() != first.port());
    let stands = |a: &AccountView| {
        let mut flows = a.flows.iter();
        flows.all(|f| f.state == RegistrationState::Registered)
    };
    let view = until_view(&mut house, "both stand", stands).await;
    house.engine.send(Command::Register { account: view.id });
    for _ in 0..2 {
        let (register, from) = accept_registration(&registrar, "Require: outbound\r\n").await;
        assert_eq!(flows[&reg_id(&register).expect("a number")].0, from);
    }
    // A call that comes by the second flow is answered there, by UDP, to its end.
    let dan = Peer::bind().await;
    let to_contact = |text: String| text.replacen("sip:carol@127.0.0.1", &contact.to_string(), 1);
    dan.send(second, &to_contact(dan.says("INVITE", 1, None, SDP)))
        .await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let response = dan.final_response().await;
    // RFC 5626 §4.3: requests of the peer come on the flow that the call came on.
    let told = response.headers.contact().expect("a Contact").uri;
    assert!(told.params.has("ob"), "{told}");
    let ack = dan.says("ACK", 1, Some(&to_tag(&response)), "");
    dan.send(second, &to_contact(ack)).await;
    house.until_state(call, CallState::Connected).await;
    house.end(call);
    let (bye, from) = dan.request(Method::Bye).await;
    assert_eq!(from, second);
    dan.send(from, &answer(&bye, "200 OK", "", "")).await;
    house.until_state(call, CallState::Ended).await;
    house.close().await;
}

/// A registrar that keeps to no flows would ring one phone at two addresses.
#[tokio::test]
async fn a_second_socket_is_given_up_where_the_registrar_keeps_to_no_flows() {
    let registrar = Peer::bind().await;
    let given = at_server(registrar.local, |s| s.flows = 2);
    let bound = given.settings.bind.clone();
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    for _ in 0..2 {
        accept_registration(&registrar, "").await;
    }
    let (bye, from) = registrar.request(Method::Register).await;
    assert_eq!(bye.headers.get(HeaderName::Expires), Some("0"));
    assert_eq!(reg_id(&bye).as_deref(), Some("2"));
    assert_ne!(bound, Some(from.to_string()));
    registrar.send(from, &answer(&bye, "200 OK", "", "")).await;
    let view = until_view(&mut house, "the second is off", |a| {
        a.flows[1].state == RegistrationState::Off
    })
    .await;
    assert_eq!(view.state, RegistrationState::Registered);
    house.close().await;
}

/// RFC 3261 §10.2.3 and §10.2.2.
#[tokio::test]
async fn bindings_of_others_are_listed_removed_and_cleared() {
    let registrar = Peer::bind().await;
    let given = at_server(registrar.local, |_| {});
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    let (first, _) = accept_registration(&registrar, "").await;
    let own = first
        .headers
        .get(HeaderName::Contact)
        .expect("ours")
        .to_owned();
    house.until_registered(1).await;
    let account = house.id_of("carol");
    house.engine.send(Command::ListBindings {
        account: account.clone(),
    });
    let (fetch, from) = registrar.request(Method::Register).await;
    assert!(!fetch.headers.has(HeaderName::Contact));
    let old = "<sip:carol@192.0.2.77:5060>;expires=900";
    let listed = format!("Contact: {own}\r\nContact: {old}\r\n");
    registrar
        .send(from, &answer(&fetch, "200 OK", &listed, ""))
        .await;
    let view = until_view(&mut house, "two are listed", |a| a.bindings.len() == 2).await;
    let other = view
        .bindings
        .iter()
        .find(|b| !b.own)
        .expect("one is not ours");
    assert_eq!(other.uri.reveal(), "sip:carol@192.0.2.77:5060");
    assert!(other.expires_at.is_some());
    house.engine.send(Command::RemoveBinding {
        account: account.clone(),
        uri: other.uri.clone(),
    });
    let (remove, from) = registrar.request(Method::Register).await;
    assert_eq!(
        remove.headers.get(HeaderName::Contact),
        Some("<sip:carol@192.0.2.77:5060>;expires=0")
    );
    let left = format!("Contact: {own}\r\n");
    registrar
        .send(from, &answer(&remove, "200 OK", &left, ""))
        .await;
    until_view(&mut house, "one is left", |a| a.bindings.len() == 1).await;
    house.engine.send(Command::ClearBindings { account });
    let (clear, from) = registrar.request(Method::Register).await;
    assert_eq!(clear.headers.get(HeaderName::Contact), Some("*"));
    assert_eq!(clear.headers.get(HeaderName::Expires), Some("0"));
    registrar
        .send(from, &answer(&clear, "200 OK", "", ""))
        .await;
    // Who wants to be reachable signs in anew.
    accept_registration(&registrar, "").await;
    house.until_registered(1).await;
    house.close().await;
}

#[tokio::test]
async fn a_list_that_is_refused_is_said() {
    let registrar = Peer::bind().await;
    let given = at_server(registrar.local, |_| {});
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    accept_registration(&registrar, "").await;
    house.until_registered(1).await;
    house.engine.send(Command::ListBindings {
        account: house.id_of("carol"),
    });
    let (fetch, from) = registrar.request(Method::Register).await;
    registrar
        .send(from, &answer(&fetch, "403 Forbidden", "", ""))
        .await;
    house
        .until_notice("The registrar did not list the bindings: 403 Forbidden")
        .await;
    assert_eq!(house.account("carol").state, RegistrationState::Registered);
    house.close().await;
}

/// RFC 5627 §4.4.
#[tokio::test]
async fn the_lasting_address_of_the_phone_is_what_calls_tell() {
    let registrar = Peer::bind().await;
    let given = at_server(registrar.local, |s| s.gruu = true);
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    let (register, from) = registrar.request(Method::Register).await;
    let supported = register.headers.get(HeaderName::Supported);
    assert!(supported.is_some_and(|tags| tags.contains("gruu")));
    let contact = register.headers.get(HeaderName::Contact).expect("ours");
    let granted = format!(
        "Contact: {contact};pub-gruu=\"sip:carol@carol.test;gr=urn:uuid:f81d4fae\";\
         temp-gruu=\"sip:t8jd2@carol.test;gr\"\r\n"
    );
    registrar
        .send(from, &answer(&register, "200 OK", &granted, ""))
        .await;
    house.until_registered(1).await;
    let view = house.account("carol");
    assert_eq!(
        view.public_gruu.as_ref().map(model::Identity::reveal),
        Some("sip:carol@carol.test;gr=urn:uuid:f81d4fae")
    );
    assert!(view.temporary_gruu.is_some());
    house.dial("carol", "dan").await;
    let (invite, _) = registrar.request(Method::Invite).await;
    assert_eq!(
        invite.headers.contact().expect("a Contact").uri.to_string(),
        "sip:carol@carol.test;gr=urn:uuid:f81d4fae"
    );
    house.close().await;
}

/// RFC 3323 §4.1, RFC 5627 §3.1.2.
#[tokio::test]
async fn a_call_that_is_to_name_nobody_tells_an_address_that_hides_whose_it_is() {
    for (gruu, contact) in [(true, Some("sip:t8jd2@carol.test;gr")), (false, None)] {
        let registrar = Peer::bind().await;
        let given = at_server(registrar.local, |s| {
            s.gruu = true;
            s.calls.anonymous = true;
        });
        let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
        let (register, from) = registrar.request(Method::Register).await;
        let ours = register.headers.get(HeaderName::Contact).expect("ours");
        let gruus = ";pub-gruu=\"sip:carol@carol.test;gr=urn:uuid:f81d4fae\";temp-gruu=\"sip:t8jd2@carol.test;gr\"";
        let granted = format!("Contact: {ours}{}\r\n", if gruu { gruus } else { "" });
        registrar
            .send(from, &answer(&register, "200 OK", &granted, ""))
            .await;
        house.until_registered(1).await;
        house.dial("carol", "dan").await;
        let (invite, _) = registrar.request(Method::Invite).await;
        let headers = &invite.headers;
        let told = headers.contact().expect("a Contact").uri;
        match contact {
            Some(contact) => assert_eq!(told.to_string(), contact),
            None => assert_eq!(told.user.as_deref(), Some("anonymous")),
        }
        let from = headers.from().expect("a From").uri.to_string();
        assert_eq!(from, "sip:anonymous@anonymous.invalid");
        assert_eq!(headers.get(HeaderName::Privacy), Some("id"));
        let preferred = headers.preferred_identities().expect("for our own proxy");
        assert_eq!(preferred[0].uri.to_string(), "sip:carol@carol.test");
        // Nowhere else is there a name.
        let mut bare = invite.clone();
        bare.headers.remove(HeaderName::PPreferredIdentity);
        let text = String::from_utf8_lossy(&bare.to_bytes()).into_owned();
        let names = text.replace("carol.test", "").matches("carol").count();
        assert_eq!(names, 0, "{text}");
        house.close().await;
    }
}

#[tokio::test]
async fn an_address_that_was_set_is_told_in_place_of_the_local_one() {
    let registrar = Peer::bind().await;
    let given = at_server(registrar.local, |s| {
        s.public_address = Some("198.51.100.7".to_owned());
    });
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    let (register, _) = accept_registration(&registrar, "").await;
    let bind = house.account("carol").settings.bind.expect("it is bound");
    let port = bind.rsplit(':').next().expect("a port").to_owned();
    let told = register
        .headers
        .contact()
        .expect("a Contact")
        .uri
        .to_string();
    assert!(told.contains(&format!("@198.51.100.7:{port}")), "{told}");
    house.until_registered(1).await;
    house.dial("carol", "dan").await;
    let (invite, _) = registrar.request(Method::Invite).await;
    let told = invite.headers.contact().expect("a Contact").uri.to_string();
    assert!(told.contains(&format!("@198.51.100.7:{port}")), "{told}");
    let offer = String::from_utf8_lossy(&invite.body).into_owned();
    assert!(offer.contains("c=IN IP4 198.51.100.7\r\n"), "{offer}");
    house.close().await;
}

#[tokio::test]
async fn a_registration_is_watched_over_time() {
    let registrar = Peer::bind().await;
    let given = at_server(registrar.local, |_| {});
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    accept_registration(&registrar, "Expires: 7\r\n").await;
    house.until_registered(1).await;
    let view = house.account("carol");
    assert!(view.granted_s.is_some() && view.round_trips_ms.len() == 1);
    let account = view.id.clone();
    house.engine.send(Command::Register {
        account: account.clone(),
    });
    let (register, from) = registrar.request(Method::Register).await;
    let refused = answer(&register, "403 Forbidden", "", "");
    registrar.send(from, &refused).await;
    let view = until_view(&mut house, "it is refused", |a| {
        a.state == RegistrationState::Refused
    })
    .await;
    let states: Vec<_> = view.marks.iter().map(|m| m.state).collect();
    assert_eq!(
        states,
        [
            RegistrationState::Trying,
            RegistrationState::Registered,
            RegistrationState::Refused
        ]
    );
    let why = view.marks.last().and_then(|m| m.text.clone());
    assert!(
        why.is_some_and(|text| text.reveal().contains("403")),
        "{:?}",
        view.marks
    );
    // New settings that the registrar is to know of start the registration anew, and not what was seen of it.
    let mut settings = view.settings.clone();
    settings.label = "Carol".into();
    settings.expires_s = 900;
    house.engine.send(Command::UpdateAccount {
        account,
        settings: Box::new(settings),
        password: None,
    });
    accept_registration(&registrar, "").await;
    let view = until_view(&mut house, "it is back", |a| {
        a.state == RegistrationState::Registered && a.settings.label == "Carol"
    })
    .await;
    assert!(view.marks.len() > 3 && view.round_trips_ms.len() >= 2);
    house.close().await;
}

#[tokio::test]
async fn a_registrar_that_grants_a_moment_or_half_a_life_is_remarked_on() {
    for (granted, words) in [
        ("1", "grants 1 s only"),
        (
            "946080000",
            "the registration is renewed each day all the same",
        ),
    ] {
        let registrar = Peer::bind().await;
        let given = at_server(registrar.local, |_| {});
        let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
        let (register, from) = registrar.request(Method::Register).await;
        let contact = register.headers.contact().expect("a Contact").uri;
        let more = format!("Contact: <{contact}>;expires={granted}\r\n");
        registrar
            .send(from, &answer(&register, "200 OK", &more, ""))
            .await;
        house.until_notes(words, 1).await;
        house.close().await;
    }
}

/// RFC 3261 §22.3: the name of the login need not be that of the user.
#[tokio::test]
async fn the_login_has_a_name_of_its_own() {
    let registrar = Peer::bind().await;
    let given = at_server(registrar.local, |s| s.auth_user = Some("line-7".into()));
    let house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    let (register, from) = registrar.request(Method::Register).await;
    let more = "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n1\", qop=\"auth\"\r\n";
    let asked = answer(&register, "401 Unauthorized", more, "");
    registrar.send(from, &asked).await;
    let (login, _) = registrar.request(Method::Register).await;
    let authorization = login
        .headers
        .get(HeaderName::Authorization)
        .expect("a login");
    assert!(
        authorization.contains("username=\"line-7\""),
        "{authorization}"
    );
    assert!(
        login
            .headers
            .from()
            .expect("From")
            .uri
            .to_string()
            .contains("carol@")
    );
    house.close().await;
}

#[tokio::test]
async fn accounts_without_an_address_of_their_own_take_that_of_their_tenant() {
    let registrar = Peer::bind().await;
    let given = at_server(registrar.local, |s| s.bind = None);
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    accept_registration(&registrar, "").await;
    house.until_registered(1).await;
    let tenant = house.tenant_of("carol");
    house.engine.send(Command::SetTenantBind {
        tenant: tenant.clone(),
        bind: Some("no-such-interface".to_owned()),
    });
    house
        .until_notice("is not a local address or the name of a network interface")
        .await;
    // The loopback interface has this name on Linux.
    if cfg!(target_os = "linux") {
        house.engine.send(Command::SetTenantBind {
            tenant,
            bind: Some("lo".to_owned()),
        });
        house
            .until("the tenant is bound", |s| s.tenants.first()?.bind.clone())
            .await;
        let (bye, from) = registrar.request(Method::Register).await;
        registrar.send(from, &answer(&bye, "200 OK", "", "")).await;
        let (register, from) = accept_registration(&registrar, "").await;
        assert!(from.ip().is_loopback());
        let told = register
            .headers
            .contact()
            .expect("a Contact")
            .uri
            .to_string();
        assert!(told.contains("@127.0.0.1:"), "{told}");
    }
    house.close().await;
}

/// RFC 8898 §2: a token goes over TLS or nowhere.
#[tokio::test]
async fn a_token_is_not_shown_in_the_clear() {
    let registrar = Peer::bind().await;
    let given = at_server(registrar.local, |s| s.login = LoginKind::Token);
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    let (register, from) = registrar.request(Method::Register).await;
    let more = "WWW-Authenticate: Bearer realm=\"pbx\", scope=\"sip\"\r\n";
    let asked = answer(&register, "401 Unauthorized", more, "");
    registrar.send(from, &asked).await;
    let view = until_view(&mut house, "it is refused", |a| {
        a.state == RegistrationState::Refused
    })
    .await;
    assert!(view.failure.is_some());
    assert_eq!(house.count_messages(true, "Authorization:"), 0);
    house.close().await;
}

/// RFC 5626 §4.4.2.
#[tokio::test]
async fn a_registration_keeps_its_way_open() {
    let registrar = Peer::bind().await;
    let given = at_server(registrar.local, |_| {});
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    accept_registration(&registrar, "Flow-Timer: 15\r\n").await;
    house.until_registered(1).await;
    tokio::time::pause();
    tokio::time::sleep(std::time::Duration::from_secs(15)).await;
    tokio::time::resume();
    let ping = registrar.octets().await.expect("something comes");
    // RFC 8489 §5: a binding request, and the magic cookie.
    assert_eq!(ping.get(..2), Some([0, 1].as_slice()));
    assert_eq!(ping.get(4..8), Some([0x21, 0x12, 0xA4, 0x42].as_slice()));
    house.close().await;
}

#[tokio::test]
async fn accounts_with_sockets_of_their_own_do_not_disturb_each_other() {
    let (first, second) = (free_addr(), free_addr());
    let at = |aor: &str, addr: SocketAddr| {
        account(aor, addr, |settings| {
            settings.register = false;
            settings.proxy = None;
            settings.bind = Some(addr.to_string());
        })
    };
    let accounts = vec![
        at("sip:carol@127.0.0.1", first),
        at("sip:carola@127.0.0.1", second),
    ];
    let mut house = House::start(vec![tenant("Solo", accounts)], tone()).await;
    house
        .until("both are there", |s| (s.accounts.len() == 2).then_some(()))
        .await;
    let dan = Peer::bind().await;
    let to_carola = |text: String| text.replace("carol@127.0.0.1", "carola@127.0.0.1");
    // One of them hears of nothing but garbage; whoever calls the other one is answered.
    for _ in 0..50 {
        dan.send(first, "INVITE \u{1}garbage\r\n\r\n").await;
    }
    dan.send(second, &to_carola(dan.says("INVITE", 1, None, SDP)))
        .await;
    let call = house.until_ringing().await;
    assert_eq!(house.call(call).account, house.id_of("carola"));
    // And when it is gone, the other one's socket stays.
    house.engine.send(Command::RemoveAccount {
        account: house.id_of("carol"),
    });
    house
        .until("one is left", |s| (s.accounts.len() == 1).then_some(()))
        .await;
    house.engine.send(Command::AnswerCall { call });
    let response = dan.final_response().await;
    assert_eq!(response.status.code(), 200);
    let contact = response
        .headers
        .get(HeaderName::Contact)
        .unwrap_or_default();
    assert!(contact.contains(&second.to_string()), "{contact}");
    let ack = dan.says("ACK", 1, Some(&to_tag(&response)), "");
    dan.send(second, &to_carola(ack)).await;
    house.until_state(call, CallState::Connected).await;
    house.close().await;
}
