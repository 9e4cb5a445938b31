//! Whom TLS trusts, and at which step it says no.

use super::*;
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What a client says that asked for `domain` at a server with this certificate.
async fn shake(identity: &Identity, towards: &Towards) -> Result<Secured, Error> {
    let server_side = Side::new(Limits::of_a_server());
    let addr = server_side.listen(Door::Tls(server(identity)));
    shake_at(addr, towards).await
}

/// The same at any server; a server that only complains later is heard, too.
async fn shake_at(addr: SocketAddr, towards: &Towards) -> Result<Secured, Error> {
    let limits = Limits {
        handshake: Duration::from_millis(1_500),
        ..Limits::default()
    };
    let mut client = Side::new(limits);
    client
        .wire
        .send(&to(Transport::Tls, addr), towards, &request("a", 0))
        .expect("queued");
    match client.event().await {
        Event::Up { secured, flow, .. } => {
            let later = tokio::time::timeout(Duration::from_millis(300), client.event()).await;
            match later {
                Ok(Event::Closed(closed)) => {
                    assert_eq!(closed.flow, flow);
                    Err(closed.error)
                }
                Ok(other) => panic!("{other:?}"),
                Err(_) => Ok(secured.expect("TLS")),
            }
        }
        Event::Closed(closed) => {
            assert_eq!(
                closed.unsent,
                [request("a", 0)],
                "nothing left in the clear"
            );
            Err(closed.error)
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn fault(result: Result<Secured, Error>) -> (CertificateFault, Certificate) {
    let error = result.expect_err("it is not trusted");
    assert_eq!(error.step(), Step::Tls);
    let (fault, certificate) = error.certificate().expect("it is about the certificate");
    (fault.clone(), certificate.clone())
}

#[tokio::test]
async fn an_authority_of_our_own_is_trusted() {
    let authority = Authority::new("Lab");
    let identity = authority.issue_for("pbx.example");
    let secured = shake(&identity, &towards("PBX.example.", &authority.pem()))
        .await
        .expect("trusted");
    assert_eq!(secured.version, "TLS 1.3");
    let shown = secured.certificate.expect("a certificate");
    assert_eq!(shown.fingerprint, identity.fingerprint());
    assert_eq!(shown.issuer, "CN=Lab");
}

#[tokio::test]
async fn an_authority_that_nobody_knows_is_not() {
    let identity = Authority::new("Elsewhere").issue_for("pbx.example");
    let ours = Authority::new("Lab").pem();
    let (fault, shown) = fault(shake(&identity, &towards("pbx.example", &ours)).await);
    assert_eq!(fault, CertificateFault::UnknownIssuer);
    assert_eq!(shown.issuer, "CN=Elsewhere");
    assert_eq!(
        shown.names,
        [certificate::AltName::Dns("pbx.example".to_owned())]
    );
}

#[tokio::test]
async fn the_roots_of_the_system_do_not_vouch_for_a_lab() {
    let (identity, _) = self_signed("pbx.example");
    let tls = ClientTls::new(&Roots::Platform, Remembered::default(), None).expect("a client");
    let towards = Towards {
        domain: Some("pbx.example".to_owned()),
        tls: Some(Arc::new(tls)),
        resource: None,
        connect: None,
        lane: None,
    };
    let (fault, _) = fault(shake(&identity, &towards).await);
    assert_eq!(fault, CertificateFault::SelfSigned);
}

#[tokio::test]
async fn dates_count() {
    let authority = Authority::new("Lab");
    let towards = towards("pbx.example", &authority.pem());
    let dated = |from: i32, to: i32| {
        authority.issue(|params| {
            params.subject_alt_names = vec![dns("pbx.example")];
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        })
    };
    let (expired, shown) = fault(shake(&dated(2001, 2002), &towards).await);
    assert_eq!(expired, CertificateFault::Expired);
    assert!(shown.to_string().contains("valid 2001-01-01 to 2002-01-01"));
    let (early, _) = fault(shake(&dated(2090, 2095), &towards).await);
    assert_eq!(early, CertificateFault::NotYetValid);
}

#[tokio::test]
async fn the_domain_that_was_asked_for_counts() {
    let authority = Authority::new("Lab");
    let pem = authority.pem();
    let other = |asked: &str| CertificateFault::OtherName {
        asked: asked.to_owned(),
        instead: None,
    };
    let identity = authority.issue_for("pbx.example");
    let (found, _) = fault(shake(&identity, &towards("sip.example", &pem)).await);
    assert_eq!(found, other("sip.example"));
    // Wildcards are for browsers (RFC 5922 §7.2).
    let wild = authority.issue_for("*.example");
    let (found, _) = fault(shake(&wild, &towards("pbx.example", &pem)).await);
    assert_eq!(found, other("pbx.example"));
    // A domain by its SIP URI, where the host has another name.
    let domain = authority.issue(|params| {
        params.subject_alt_names = vec![
            dns("edge7.example"),
            SanType::URI("sip:example.org".try_into().expect("ASCII")),
        ];
    });
    shake(&domain, &towards("example.org", &pem))
        .await
        .expect("the domain is named");
    let (found, _) = fault(shake(&domain, &towards("edge7.example", &pem)).await);
    // RFC 5922 §7.1: it names that host, which counts for nothing beside a SIP URI, and that is said.
    assert_eq!(
        found.to_string(),
        "the certificate is not for edge7.example but for the SIP domain example.org: beside a SIP URI the names of \
         hosts in it do not count"
    );
    // An address, when an address was asked for.
    let addressed = authority.issue(|params| {
        params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
    });
    let nameless = Towards {
        domain: None,
        ..towards("", &pem)
    };
    shake(&addressed, &nameless)
        .await
        .expect("the address is named");
    let (found, _) = fault(shake(&identity, &nameless).await);
    assert_eq!(found, other("127.0.0.1"));
}

#[tokio::test]
async fn a_certificate_can_be_trusted_by_file() {
    let (identity, pem) = self_signed("pbx.example");
    shake(&identity, &towards("pbx.example", &pem))
        .await
        .expect("it is in the file itself");
    let (found, _) = fault(shake(&identity, &towards("sip.example", &pem)).await);
    assert!(matches!(found, CertificateFault::OtherName { .. }));
}

/// RFC 5280 §4.2.1.12: who names purposes is for nothing else. RFC 5924 §4 has one for SIP domains.
#[tokio::test]
async fn what_a_certificate_is_meant_for_counts_and_is_said_in_words() {
    use rcgen::ExtendedKeyUsagePurpose as Purpose;
    let authority = Authority::new("Lab");
    let towards = towards("pbx.example", &authority.pem());
    let meant_for = |purposes: &[Purpose]| {
        authority.issue(|params| {
            params.subject_alt_names = vec![dns("pbx.example")];
            params.extended_key_usages = purposes.to_vec();
        })
    };
    let kp = |number: u64| Purpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, number]);
    for good in [
        vec![],
        vec![Purpose::ServerAuth],
        vec![kp(20)],
        vec![Purpose::ClientAuth, kp(20)],
        vec![Purpose::ClientAuth, Purpose::ServerAuth],
    ] {
        let shaken = shake(&meant_for(&good), &towards).await;
        assert!(shaken.is_ok(), "{good:?}: {shaken:?}");
    }
    for (purposes, words) in [
        (vec![Purpose::ClientAuth], "clients"),
        (
            vec![Purpose::CodeSigning, Purpose::EmailProtection],
            "signing programs, mail",
        ),
        (vec![kp(99)], "purpose 1.3.6.1.5.5.7.3.99"),
        (
            vec![Purpose::Other(vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 2])],
            "purpose 1.3.6.1.4.1.311.20.2.2",
        ),
    ] {
        let (found, _) = fault(shake(&meant_for(&purposes), &towards).await);
        let sentence =
            format!("the certificate is not valid (it is not meant for servers, but for {words})");
        assert_eq!(found.to_string(), sentence);
    }
}

#[tokio::test]
async fn a_revoked_certificate_is_named_as_such() {
    let authority = Authority::new("Lab");
    let serial = rcgen::SerialNumber::from(4711_u64);
    let identity = authority.issue(|params| {
        params.subject_alt_names = vec![dns("pbx.example")];
        params.serial_number = Some(serial.clone());
    });
    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2025, 1, 1),
        next_update: rcgen::date_time_ymd(2090, 1, 1),
        crl_number: rcgen::SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: vec![rcgen::RevokedCertParams {
            serial_number: serial,
            revocation_time: rcgen::date_time_ymd(2025, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&authority.0).expect("a list");
    let mut pem = authority.pem();
    pem.extend(list.pem().expect("PEM").into_bytes());
    let (found, _) = fault(shake(&identity, &towards("pbx.example", &pem)).await);
    assert_eq!(found, CertificateFault::Revoked);
    let other = authority.issue_for("pbx.example");
    shake(&other, &towards("pbx.example", &pem))
        .await
        .expect("others are not on the list");
}

#[tokio::test]
async fn a_person_is_asked_once_and_alarmed_by_a_change() {
    let (identity, _) = self_signed("pbx.example");
    let remembered = Remembered::default();
    let ours = Roots::Pem(Authority::new("Lab").pem());
    let tls = ClientTls::new(&ours, remembered.clone(), None).expect("a client");
    let towards = Towards {
        domain: Some("pbx.example".to_owned()),
        tls: Some(Arc::new(tls)),
        resource: None,
        connect: None,
        lane: None,
    };
    let (first, shown) = fault(shake(&identity, &towards).await);
    assert_eq!(first, CertificateFault::SelfSigned);
    assert_eq!(shown.fingerprint, identity.fingerprint());
    remembered.remember("PBX.example.", shown.fingerprint);
    shake(&identity, &towards).await.expect("remembered");

    let (impostor, _) = self_signed("pbx.example");
    let (changed, new) = fault(shake(&impostor, &towards).await);
    let alarm = CertificateFault::Changed {
        remembered: shown.fingerprint,
    };
    assert_eq!(changed, alarm);
    assert_eq!(new.fingerprint, impostor.fingerprint());

    remembered.forget("pbx.example");
    assert_eq!(
        fault(shake(&identity, &towards).await).0,
        CertificateFault::SelfSigned
    );
}

#[tokio::test]
async fn servers_may_want_a_certificate_of_ours() {
    let authority = Authority::new("Lab");
    let staff = Authority::new("Staff");
    let side = Side::new(Limits::of_a_server());
    let door = ServerTls::new(&authority.issue_for("pbx.example"), Some(&staff.pem()));
    let addr = side.listen(Door::Tls(door.expect("a server")));
    let with = |identity: Option<&Identity>| {
        let roots = Roots::Pem(authority.pem());
        let tls = ClientTls::new(&roots, Remembered::default(), identity).expect("a client");
        Towards {
            domain: Some("pbx.example".to_owned()),
            tls: Some(Arc::new(tls)),
            resource: None,
            connect: None,
            lane: None,
        }
    };
    let badge = staff.issue_for("alice.example");
    shake_at(addr, &with(Some(&badge)))
        .await
        .expect("one of the staff");
    let error = shake_at(addr, &with(None)).await.expect_err("no badge");
    assert_eq!(error, Error::Tls(TlsError::ClientCertificateWanted));
    let stranger = authority.issue_for("mallory.example");
    let error = shake_at(addr, &with(Some(&stranger)))
        .await
        .expect_err("no badge of theirs");
    assert!(
        matches!(error, Error::Tls(TlsError::ClientCertificateRefused(_))),
        "{error:?}"
    );
}

/// A server that answers whatever comes with these bytes and then hangs up, or not.
async fn stubborn(answer: Option<&'static [u8]>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4_096];
            let _ = stream.read(&mut buffer).await;
            match answer {
                Some(answer) => {
                    let _ = stream.write_all(answer).await;
                    let _ = stream.shutdown().await;
                    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
                }
                None => std::future::pending().await,
            }
        }
    });
    addr
}

#[tokio::test]
async fn the_handshake_says_how_it_failed() {
    let towards = towards("pbx.example", &Authority::new("Lab").pem());
    // A fatal alert: protocol_version.
    let old = stubborn(Some(&[0x15, 3, 1, 0, 2, 2, 70])).await;
    let error = shake_at(old, &towards).await.expect_err("too old");
    assert_eq!(error, Error::Tls(TlsError::ProtocolVersion));
    // A fatal alert that servers of TLS 1.2 send for all kinds of reasons.
    let picky = stubborn(Some(&[0x15, 3, 3, 0, 2, 2, 40])).await;
    let error = shake_at(picky, &towards).await.expect_err("refused");
    assert!(
        matches!(error, Error::Tls(TlsError::Handshake(_))),
        "{error:?}"
    );
    let plain = stubborn(Some(b"SIP/2.0 400 Bad Request\r\n\r\n")).await;
    let error = shake_at(plain, &towards).await.expect_err("no TLS");
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
    let curt = stubborn(Some(b"")).await;
    let error = shake_at(curt, &towards).await.expect_err("hung up");
    assert!(
        error.to_string().contains("closed the connection"),
        "{error}"
    );
    let silent = stubborn(None).await;
    let error = shake_at(silent, &towards).await.expect_err("silence");
    assert_eq!(error, Error::Tls(TlsError::TimedOut));
    for name in ["not a name", ""] {
        let towards = Towards {
            domain: Some(name.to_owned()),
            ..towards.clone()
        };
        let error = shake_at(silent, &towards).await.expect_err("no name");
        assert!(matches!(error, Error::Tls(TlsError::Setup(_))), "{error:?}");
    }
}

#[tokio::test]
async fn an_address_is_not_told_as_a_server_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let addr = listener.local_addr().expect("bound");
    let (names, mut told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let hello = tokio_rustls::LazyConfigAcceptor::new(Acceptor::default(), stream).await;
            let name = hello
                .ok()
                .and_then(|h| h.client_hello().server_name().map(str::to_owned));
            let _ = names.send(name);
        }
    });
    let by_name = towards("pbx.example", &Authority::new("Lab").pem());
    let _ = shake_at(addr, &by_name).await;
    assert_eq!(told.recv().await, Some(Some("pbx.example".to_owned())));
    let by_address = Towards {
        domain: None,
        ..by_name
    };
    let _ = shake_at(addr, &by_address).await;
    assert_eq!(told.recv().await, Some(None));
}

#[tokio::test]
async fn case_32_the_domain_asked_for_is_told_and_checked_and_not_the_host_that_serves_it() {
    // RFC 5922 §4 and §7.1: `example.org` has its server at `edge7.example` by SRV. What counts is
    // the domain; a certificate of the host alone is one for somebody else.
    let authority = Authority::new("Lab");
    let asked = towards("example.org", &authority.pem());
    let host = authority.issue_for("edge7.example");
    let (found, shown) = fault(shake(&host, &asked).await);
    let other = CertificateFault::OtherName {
        asked: "example.org".to_owned(),
        instead: None,
    };
    assert_eq!(found, other);
    assert_eq!(shown.fingerprint, host.fingerprint());
    let domain = authority.issue_for("example.org");
    shake(&domain, &asked).await.expect("it is the domain's");
    // The certificate is renewed by the same authority: another key, another fingerprint, and no
    // question to anybody.
    let renewed = authority.issue_for("example.org");
    assert_ne!(renewed.fingerprint(), domain.fingerprint());
    shake(&renewed, &asked).await.expect("renewed");

    // What the server is told: the domain, without a final dot (RFC 6066 §3), and nothing at all
    // where an address was asked for, of either family.
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(bind).await.expect("a listener");
        let addr = listener.local_addr().expect("bound");
        let (names, mut told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let hello = tokio_rustls::LazyConfigAcceptor::new(Acceptor::default(), stream);
                let name = hello.await.ok();
                let name = name.and_then(|h| h.client_hello().server_name().map(str::to_owned));
                let _ = names.send(name);
            }
        });
        for (domain, expected) in [
            (Some("Example.ORG."), Some("example.org")),
            (Some("192.0.2.7"), None),
            (Some("2001:db8::7"), None),
            (None, None),
        ] {
            let towards = Towards {
                domain: domain.map(str::to_owned),
                ..asked.clone()
            };
            let _ = shake_at(addr, &towards).await;
            let name = told.recv().await.expect("a hello");
            let name = name.map(|name| name.to_ascii_lowercase());
            assert_eq!(name.as_deref(), expected, "asked for {domain:?}");
        }
    }
}

#[test]
fn files_of_our_own_are_checked_when_they_are_read() {
    let authority = Authority::new("Lab");
    let key = KeyPair::generate().expect("a key").serialize_pem();
    let setup = |result: Result<(), TlsError>| {
        assert!(matches!(result, Err(TlsError::Setup(_))), "{result:?}");
    };
    setup(Identity::from_pem(b"nothing", key.as_bytes()).map(drop));
    setup(Identity::from_pem(&authority.pem(), b"nothing").map(drop));
    for locked in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIB\n-----END RSA PRIVATE KEY-----\n",
    ] {
        let refused = Identity::from_pem(&authority.pem(), locked.as_bytes()).map(drop);
        let said = refused.expect_err("nobody was asked").to_string();
        assert!(
            said.contains("passphrase") || said.contains("openssl pkcs8"),
            "{said}"
        );
    }
    // A key of another certificate.
    let other = Identity::from_pem(&authority.pem(), key.as_bytes()).expect("both are readable");
    setup(ServerTls::new(&other, None).map(drop));
    let client =
        |roots, identity| ClientTls::new(&roots, Remembered::default(), identity).map(drop);
    setup(client(Roots::Pem(authority.pem()), Some(&other)));
    setup(client(Roots::Pem(b"nothing".to_vec()), None));
}
