//! Who gets an answer to a challenge, and who does not.

use std::net::SocketAddr;

use model::{
    AccountSettings, CallState, Command, Event, FailureKind, Login, LoginPurpose, LoginWanted,
    RegistrationState,
};
use secrecy::SecretString;
use sip_message::{HeaderName, Method, Request};

use super::house::{House, PASSWORD, tenant, tone};
use super::peer::{Peer, answer, free_addr};
use crate::GivenAccount;

/// Carol, with a password.
pub(super) async fn carol(change: impl Fn(&mut AccountSettings)) -> House {
    let mut settings = AccountSettings::new("sip:carol@carol.test");
    settings.register = false;
    settings.bind = Some(free_addr().to_string());
    settings.login_wait_s = 0;
    change(&mut settings);
    let given = GivenAccount {
        logins: Vec::new(),
        settings,
        password: Some(SecretString::from(PASSWORD)),
        relay_password: None,
    };
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    house
        .until("carol is there", |s| s.accounts.first().map(|_| ()))
        .await;
    house
}

/// Asks for a login in this realm.
pub(super) async fn challenge(
    peer: &Peer,
    to: SocketAddr,
    request: &Request,
    code: u16,
    realm: &str,
) {
    let (line, name) = if code == 407 {
        ("407 Proxy Authentication Required", "Proxy-Authenticate")
    } else {
        ("401 Unauthorized", "WWW-Authenticate")
    };
    let more = format!("{name}: Digest realm=\"{realm}\", nonce=\"n1\", qop=\"auth\"\r\n");
    peer.send(to, &answer(request, line, &more, "")).await;
}

#[tokio::test]
async fn a_stranger_who_is_called_and_wants_a_password_gets_none() {
    let mut house = carol(|_| {}).await;
    for code in [401, 407] {
        let dan = Peer::bind().await;
        let out = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
        let (invite, from) = dan.request(Method::Invite).await;
        challenge(&dan, from, &invite, code, "trap").await;
        dan.request(Method::Ack).await;
        let ended = house.until_state(out, CallState::Ended).await;
        let failure = ended.failure.expect("it says why");
        assert_eq!(
            failure.what,
            FailureKind::PasswordMissing {
                realm: "trap".to_owned()
            }
        );
        let sentence = failure.sentence().into_revealed();
        assert!(
            sentence.contains("password for “trap”, which this account does not have"),
            "{sentence}"
        );
    }
    assert_eq!(house.count_messages(true, "uthorization:"), 0);
    house.close().await;
}

#[tokio::test]
async fn a_stranger_who_is_asked_what_it_can_gets_no_password_either() {
    let mut house = carol(|_| {}).await;
    let dan = Peer::bind().await;
    house.engine.send(Command::SendOptions {
        account: house.id_of("carol"),
        target: format!("sip:dan@{}", dan.local).into(),
    });
    let (options, from) = dan.request(Method::Options).await;
    challenge(&dan, from, &options, 401, "trap").await;
    let failure = house
        .until_event("it is told", |event| match event {
            Event::OptionsAnswered { failure, .. } => failure.clone(),
            _ => None,
        })
        .await;
    assert!(matches!(failure.what, FailureKind::PasswordMissing { .. }));
    assert_eq!(house.count_messages(true, "uthorization:"), 0);
    house.close().await;
}

#[tokio::test]
async fn an_account_without_md5_says_so_and_sends_nothing_that_could_be_broken() {
    let proxy = Peer::bind().await;
    let at = proxy.local;
    let mut house = carol(move |settings| {
        settings.proxy = Some(format!("sip:{at};lr").into());
        settings.strong_login = true;
    })
    .await;
    let out = house.dial("carol", "dan").await;
    let (invite, from) = proxy.request(Method::Invite).await;
    challenge(&proxy, from, &invite, 407, "old").await;
    let ended = house.until_state(out, CallState::Ended).await;
    let failure = ended.failure.expect("a reason");
    let realm = "old".to_owned();
    assert_eq!(failure.what, FailureKind::LoginTooWeak { realm });
    let sentence = failure.sentence().into_revealed();
    assert!(sentence.contains("by MD5 only"), "{sentence}");
    assert_eq!(house.count_messages(true, "uthorization:"), 0);
    house.close().await;
}

#[tokio::test]
async fn our_own_proxy_gets_its_answer_whatever_its_realm_is_called() {
    let proxy = Peer::bind().await;
    let at = proxy.local;
    let mut house =
        carol(move |settings| settings.proxy = Some(format!("sip:{at};lr").into())).await;
    let out = house.dial("carol", "dan").await;
    let (invite, from) = proxy.request(Method::Invite).await;
    challenge(&proxy, from, &invite, 407, "asterisk").await;
    let (invite, from) = proxy.request(Method::Invite).await;
    let login = invite.headers.get(HeaderName::ProxyAuthorization);
    assert!(
        login.is_some_and(|login| login.contains("realm=\"asterisk\"")),
        "{login:?}"
    );
    proxy
        .send(from, &answer(&invite, "486 Busy Here", "", ""))
        .await;
    house.until_state(out, CallState::Ended).await;
    house.close().await;
}

#[tokio::test]
async fn a_realm_that_let_us_in_opens_nothing_to_a_stranger_who_names_it() {
    let registrar = Peer::bind().await;
    let at = registrar.local;
    let mut house = carol(move |settings| {
        settings.register = true;
        settings.registrar = Some(format!("sip:{at}").into());
    })
    .await;
    let (first, from) = registrar.request(Method::Register).await;
    challenge(&registrar, from, &first, 401, "pbx").await;
    let (second, from) = registrar.request(Method::Register).await;
    let contact = second.headers.get(HeaderName::Contact).expect("a Contact");
    let granted = format!("Contact: {contact}\r\n");
    registrar
        .send(from, &answer(&second, "200 OK", &granted, ""))
        .await;
    house
        .until("she is signed in", |s| {
            let registered = |a: &model::AccountView| a.state == RegistrationState::Registered;
            s.accounts.iter().any(registered).then_some(())
        })
        .await;
    let dan = Peer::bind().await;
    let out = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    challenge(&dan, from, &invite, 401, "pbx").await;
    let ended = house.until_state(out, CallState::Ended).await;
    assert!(matches!(
        ended.failure.map(|f| f.what),
        Some(FailureKind::PasswordMissing { .. })
    ));
    // By our own server anybody may ask, who is called too: no weaker than the server itself did.
    let out = house.dial("carol", &format!("sip:erin@{at}")).await;
    let (invite, from) = registrar.request(Method::Invite).await;
    let more = "WWW-Authenticate: Digest realm=\"trap\", nonce=\"n2\"\r\n";
    registrar
        .send(from, &answer(&invite, "401 Unauthorized", more, ""))
        .await;
    let ended = house.until_state(out, CallState::Ended).await;
    let failure = ended.failure.expect("a reason");
    let realm = "trap".to_owned();
    assert_eq!(failure.what, FailureKind::LoginWeaker { realm });
    let sentence = failure.sentence().into_revealed();
    assert!(sentence.contains("weaker way"), "{sentence}");
    house.close().await;
}

/// Answers the question that is open.
async fn answer_question(house: &mut House, realm: &str, password: &str) {
    let asked = |s: &model::Snapshot| s.logins.iter().find(|l| l.realm == realm).cloned();
    let question = house.until("a login is asked for", asked).await;
    answer_as(house, &question, None, password);
}

/// The question that whoever is at this address asks.
async fn question_from(house: &mut House, peer: &Peer) -> LoginWanted {
    let server = Some(peer.local.to_string());
    let asked = |s: &model::Snapshot| s.logins.iter().find(|l| l.server == server).cloned();
    house.until("it asks for a login", asked).await
}

fn answer_as(house: &House, question: &LoginWanted, user: Option<&str>, password: &str) {
    house.engine.send(Command::AnswerLogin {
        question: question.id,
        user: user.map(Into::into),
        password: model::Password(password.to_owned()),
        keep: true,
    });
}

#[tokio::test]
async fn a_person_gives_the_login_and_the_call_goes_on_and_the_next_one_asks_nobody() {
    let mut house = carol(|settings| settings.login_wait_s = 60).await;
    let dan = Peer::bind().await;
    for round in 0..2 {
        let out = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
        let (invite, from) = dan.request(Method::Invite).await;
        challenge(&dan, from, &invite, 401, "dans").await;
        if round == 0 {
            answer_question(&mut house, "dans", "carols-word").await;
        }
        let (invite, from) = dan.request(Method::Invite).await;
        let login = invite
            .headers
            .get(HeaderName::Authorization)
            .expect("a login");
        assert!(login.contains("username=\"carol\"") && login.contains("realm=\"dans\""));
        let settled = |s: &model::Snapshot| s.logins.is_empty().then_some(());
        house.until("nobody is asked any more", settled).await;
        dan.send(from, &answer(&invite, "486 Busy Here", "", ""))
            .await;
        house.until_state(out, CallState::Ended).await;
    }
    let seen = format!("{:?}", house.seen);
    assert!(!seen.contains("carols-word"));
    house.close().await;
}

#[tokio::test]
async fn a_message_waits_for_its_login_and_a_no_ends_it() {
    let mut house = carol(|settings| settings.login_wait_s = 60).await;
    let dan = Peer::bind().await;
    for gives in [true, false] {
        house.engine.send(Command::SendMessage {
            account: house.id_of("carol"),
            to: format!("sip:dan@{}", dan.local).into(),
            text: "hello".into(),
        });
        let (message, from) = dan.request(Method::Message).await;
        let realm = if gives { "first" } else { "second" };
        challenge(&dan, from, &message, 401, realm).await;
        if gives {
            answer_question(&mut house, realm, "word").await;
            let (message, from) = dan.request(Method::Message).await;
            assert!(message.headers.has(HeaderName::Authorization));
            dan.send(from, &answer(&message, "200 OK", "", "")).await;
        } else {
            let question = question_from(&mut house, &dan).await.id;
            house.engine.send(Command::DeclineLogin { question });
        }
        let wanted = if gives {
            model::MessageState::Delivered
        } else {
            model::MessageState::Failed
        };
        house
            .until("it has an end", |s| {
                let last = s.messages.last().filter(|m| m.state == wanted);
                last.filter(|_| s.logins.is_empty()).map(|_| ())
            })
            .await;
    }
    house.close().await;
}

/// Carol, whose registrar has refused her password and who is asked for another.
async fn refused() -> (Peer, House) {
    let registrar = Peer::bind().await;
    let at = registrar.local;
    let mut house = carol(move |settings| {
        settings.register = true;
        settings.registrar = Some(format!("sip:{at}").into());
        settings.login_wait_s = 60;
    })
    .await;
    for _ in 0..2 {
        let (register, from) = registrar.request(Method::Register).await;
        challenge(&registrar, from, &register, 401, "pbx").await;
    }
    house
        .until("she is refused", |s| {
            let refused = |l: &&model::LoginWanted| l.refused && l.realm == "pbx";
            s.logins.iter().find(refused).map(|_| ())
        })
        .await;
    (registrar, house)
}

#[tokio::test]
async fn a_registrar_that_refuses_is_answered_by_a_person_and_lets_us_in() {
    let (registrar, mut house) = refused().await;
    answer_question(&mut house, "pbx", "the-right-one").await;
    let (first, from) = registrar.request(Method::Register).await;
    challenge(&registrar, from, &first, 401, "pbx").await;
    let (second, from) = registrar.request(Method::Register).await;
    assert!(second.headers.has(HeaderName::Authorization));
    let contact = second.headers.get(HeaderName::Contact).expect("a Contact");
    let granted = format!("Contact: {contact}\r\n");
    registrar
        .send(from, &answer(&second, "200 OK", &granted, ""))
        .await;
    house.until_registered(1).await;
    house
        .until("nobody is asked any more", |s| {
            s.logins.is_empty().then_some(())
        })
        .await;
    house.close().await;
}

#[tokio::test]
async fn a_password_goes_to_whoever_was_answered_and_to_nobody_who_takes_their_name() {
    let (registrar, mut house) = refused().await;
    let registration = question_from(&mut house, &registrar).await;
    assert_eq!(registration.purpose, LoginPurpose::Registration);
    // Two whom she calls ask in the name of her registrar.
    let (dan, eve) = (Peer::bind().await, Peer::bind().await);
    for peer in [&dan, &eve] {
        house.dial("carol", &format!("sip:it@{}", peer.local)).await;
        let (invite, from) = peer.request(Method::Invite).await;
        challenge(peer, from, &invite, 401, "pbx").await;
    }
    let of_eve = question_from(&mut house, &eve).await;
    let of_dan = question_from(&mut house, &dan).await;
    answer_as(&house, &of_dan, Some("carol"), "for-dan");
    dan.request(Method::Ack).await;
    let (invite, _) = dan.request(Method::Invite).await;
    assert!(invite.headers.has(HeaderName::Authorization));
    // What was typed for her registrar goes there, and is not what Dan got.
    answer_as(&house, &registration, None, "for-the-registrar");
    let (first, from) = registrar.request(Method::Register).await;
    challenge(&registrar, from, &first, 401, "pbx").await;
    let (second, _) = registrar.request(Method::Register).await;
    assert!(second.headers.has(HeaderName::Authorization));
    let open = house.until("Dan is answered", |s| {
        let open: Vec<LoginWanted> = s.logins.clone();
        (!open.iter().any(|l| l.id == of_dan.id)).then_some(open)
    });
    assert!(open.await.iter().any(|login| login.id == of_eve.id));
    house.close().await;
}

#[tokio::test]
async fn a_login_that_nobody_could_use_is_said_and_not_kept() {
    let mut house = carol(|settings| settings.login_wait_s = 60).await;
    let dan = Peer::bind().await;
    let out = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    challenge(&dan, from, &invite, 401, "dans").await;
    let question = question_from(&mut house, &dan).await;
    answer_as(&house, &question, Some(""), "word");
    house
        .until_notice("a further login needs a user name")
        .await;
    for server in ["pbx.example:5070", "sip:pbx.example"] {
        house.engine.send(Command::SetLogin {
            account: house.id_of("carol"),
            login: Login {
                realm: None,
                server: Some(server.to_owned()),
                user: "carol".into(),
            },
            password: Some(model::Password("word".to_owned())),
        });
        house
            .until_notice(&format!("“{server}” is no server for a login"))
            .await;
    }
    // The account is as usable as before, and the question stands.
    answer_as(&house, &question, None, "word");
    dan.request(Method::Ack).await;
    let (invite, from) = dan.request(Method::Invite).await;
    assert!(invite.headers.has(HeaderName::Authorization));
    dan.send(from, &answer(&invite, "486 Busy Here", "", ""))
        .await;
    house.until_state(out, CallState::Ended).await;
    house.engine.send(Command::SetLogin {
        account: house.id_of("carol"),
        login: Login {
            realm: None,
            server: Some("pbx.example".to_owned()),
            user: "carol-2".into(),
        },
        password: None,
    });
    let kept = house.until("the good ones are kept", |s| {
        let logins = &s.accounts.first()?.settings.logins;
        (logins.len() >= 2).then(|| logins.clone())
    });
    let kept: Vec<_> = kept
        .await
        .into_iter()
        .map(|l| (l.realm, l.server))
        .collect();
    let dans = (Some("dans".to_owned()), None);
    assert_eq!(kept, [dans, (None, Some("pbx.example".to_owned()))]);
    house.close().await;
}
