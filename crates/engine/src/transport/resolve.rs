//! The answers to the questions of a search for servers: from a cache, from name servers, and for
//! addresses from the operating system as the last resort.
//!
//! What is asked, and what follows from the answers, is decided by [`sip_core::locate`].

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use sip_core::locate::{
    Answer, Cache, Families, Hosts, Kind, Locate, LocateConfig, LocateOutput, Located, Naptr,
    NextHop, Outcome, Question, Record, RecordKind, Srv,
};
use sip_core::{ResolveError, Seed, Tokens, Transport};
use tokio::task::JoinSet;

use crate::wake::now;

/// How long a search may take altogether.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long one question may take: two tries of one server.
const QUESTION: Duration = Duration::from_secs(2);
/// After so many questions in a row without a usable answer the system's configuration is read
/// anew: nobody tells us when it changes, as it does with each network.
const DOUBTS: u32 = 3;
/// And not more often than this.
const REBUILT_EVERY: Duration = Duration::from_secs(10);
/// How long an address from the operating system holds, which tells no time to live.
const SYSTEM_TTL: Duration = Duration::from_secs(30);

/// Answers of a lab's own host table, asked before DNS.
pub type HostTable = HashMap<String, Vec<IpAddr>>;

/// Which names and name servers to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// Names with fixed addresses, asked before DNS.
    pub hosts: HostTable,
    /// Name servers to ask in place of the system's.
    pub dns_servers: Vec<SocketAddr>,
}

/// Finds servers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<Inner>);

struct Inner {
    hosts: Hosts,
    servers: Vec<SocketAddr>,
    dns: Mutex<Dns>,
    cache: Mutex<Cache>,
    tokens: Mutex<Tokens>,
}

/// The way to the name servers.
struct Dns {
    /// Without a readable system configuration only the operating system's own look-up is left.
    resolver: Option<TokioResolver>,
    built: Instant,
    doubts: u32,
}

/// What a search found, and what is to be told of it.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) result: Result<Located, ResolveError>,
    pub(crate) notices: Vec<model::Sentence>,
}

impl Resolver {
    pub(crate) fn new(naming: &Naming, seed: &Seed) -> Self {
        let servers = naming.dns_servers.clone();
        let dns = Dns {
            resolver: build(&servers),
            built: now(),
            doubts: 0,
        };
        Self(Arc::new(Inner {
            hosts: naming.hosts.clone().into_iter().collect(),
            servers,
            dns: Mutex::new(dns),
            cache: Mutex::new(Cache::default()),
            tokens: Mutex::new(Tokens::new(seed)),
        }))
    }

    /// The places to try for a next hop, best first. `own` is an address on which the asker listens.
    pub(crate) async fn search(
        &self,
        hop: NextHop,
        transports: &[Transport],
        own: Option<SocketAddr>,
    ) -> Search {
        // SIP tries one after the other and does not race them, so that a broken IPv6 costs a
        // caller seconds; few servers lack IPv4.
        self.search_among(Kind::Sip, Families::V4First, hop, transports, own)
            .await
    }

    /// The same for servers of another kind, and for addresses of these families alone.
    pub(crate) async fn search_among(
        &self,
        kind: Kind,
        families: Families,
        hop: NextHop,
        transports: &[Transport],
        own: Option<SocketAddr>,
    ) -> Search {
        let config = LocateConfig {
            kind,
            transports: transports.to_vec(),
            families,
            hosts: self.0.hosts.clone(),
            own: own
                .filter(|own| !own.ip().is_unspecified())
                .into_iter()
                .collect(),
            ..LocateConfig::default()
        };
        let seed = lock(&self.0.tokens).seed();
        let mut search = Locate::new(hop, config, &seed);
        let mut open: JoinSet<(Question, Answer)> = JoinSet::new();
        let mut notices = Vec::new();
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            while let Some(output) = search.poll_output() {
                match output {
                    LocateOutput::Ask(question) => {
                        let known = lock(&self.0.cache).look_up(now(), &question);
                        if let Some(answer) = known {
                            search.handle_answer(&question, answer);
                        } else {
                            let this = self.clone();
                            open.spawn(async move {
                                let answer = this.ask(&question).await;
                                (question, answer)
                            });
                        }
                    }
                    LocateOutput::Notice(text) => notices.push(text),
                    LocateOutput::Done(result) => return Search { result, notices },
                }
            }
            match tokio::time::timeout_at(end, open.join_next()).await {
                Ok(Some(Ok((question, answer)))) => {
                    lock(&self.0.cache).insert(now(), question.clone(), answer.clone());
                    search.handle_answer(&question, answer);
                }
                // A question that broke down stays open until the others are answered.
                Ok(Some(Err(_))) => {}
                Ok(None) | Err(_) => search.close(),
            }
        }
    }

    async fn ask(&self, question: &Question) -> Answer {
        if is_local(&question.name) {
            // RFC 6761 §6.3: no name server is to be asked.
            return local(question.kind);
        }
        let resolver = lock(&self.0.dns).resolver.clone();
        let answer = match resolver {
            Some(resolver) => tokio::time::timeout(QUESTION, query(&resolver, question))
                .await
                .unwrap_or(Answer::new(Outcome::TimedOut, Duration::ZERO)),
            None => Answer::new(Outcome::ServerFailed, Duration::ZERO),
        };
        self.believe(answer.outcome.is_known());
        let for_addresses = matches!(question.kind, RecordKind::A | RecordKind::Aaaa);
        if !matches!(answer.outcome, Outcome::Records(_))
            && for_addresses
            && self.0.servers.is_empty()
        {
            // Names that are in no DNS: the host file, mDNS, and what else the system knows.
            let found = tokio::time::timeout(QUESTION, from_system(question)).await;
            return found.ok().flatten().unwrap_or(answer);
        }
        answer
    }

    /// Reads the system's configuration anew when name servers stay silent.
    fn believe(&self, good: bool) {
        let mut dns = lock(&self.0.dns);
        dns.doubts = if good {
            0
        } else {
            dns.doubts.saturating_add(1)
        };
        let old = now().saturating_duration_since(dns.built) >= REBUILT_EVERY;
        if dns.doubts >= DOUBTS && old {
            tracing::info!("name servers do not answer; their addresses are read anew");
            *dns = Dns {
                resolver: build(&self.0.servers),
                built: now(),
                doubts: 0,
            };
        }
    }
}

/// A poisoned lock guards a cache, a counter or a generator; each is whole after any panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn build(servers: &[SocketAddr]) -> Option<TokioResolver> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio().ok()?
    } else {
        let servers = servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()]
                .into_iter()
                .map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
            NameServerConfig::new(server.ip(), true, connections.collect())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.timeout = QUESTION / 2;
    options.attempts = 1;
    // Answers are kept by us, where their time is limited and they can be dropped.
    options.cache_size = 0;
    builder.build().ok()
}

async fn query(resolver: &TokioResolver, question: &Question) -> Answer {
    // The dot at the end keeps the system's search domains out of it.
    let Ok(name) = Name::from_ascii(format!("{}.", question.name)) else {
        return Answer::new(Outcome::NoSuchName, Duration::ZERO);
    };
    let kind = match question.kind {
        RecordKind::Naptr => RecordType::NAPTR,
        RecordKind::Srv => RecordType::SRV,
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
    };
    match resolver.lookup(name, kind).await {
        Ok(lookup) => {
            let mut ttl = u32::MAX;
            let mut records = Vec::new();
            for answer in lookup.answers() {
                // An alias on the way holds no longer than the rest.
                ttl = ttl.min(answer.ttl);
                records.extend(record(&answer.data));
            }
            let ttl = Duration::from_secs(u64::from(ttl));
            if records.is_empty() {
                return Answer::new(Outcome::NoRecords, ttl);
            }
            Answer::new(Outcome::Records(records), ttl)
        }
        Err(error) => failed(&error),
    }
}

fn record(data: &RData) -> Option<Record> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match data {
        RData::NAPTR(naptr) => Some(Record::Naptr(Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: text(&naptr.flags),
            service: text(&naptr.services),
            replacement: naptr.replacement.to_ascii(),
        })),
        RData::SRV(srv) => Some(Record::Srv(Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: srv.target.to_ascii(),
        })),
        RData::A(a) => Some(Record::Address(a.0.into())),
        RData::AAAA(aaaa) => Some(Record::Address(aaaa.0.into())),
        _ => None,
    }
}

fn failed(error: &NetError) -> Answer {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords {
            response_code,
            negative_ttl,
            ..
        })) => {
            let ttl = Duration::from_secs(u64::from(negative_ttl.unwrap_or(0)));
            let outcome = match *response_code {
                ResponseCode::NXDomain => Outcome::NoSuchName,
                ResponseCode::NoError => Outcome::NoRecords,
                _ => Outcome::ServerFailed,
            };
            Answer::new(outcome, ttl)
        }
        NetError::Timeout => Answer::new(Outcome::TimedOut, Duration::ZERO),
        _ => Answer::new(Outcome::ServerFailed, Duration::ZERO),
    }
}

fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

fn local(kind: RecordKind) -> Answer {
    let ip: IpAddr = match kind {
        RecordKind::A => std::net::Ipv4Addr::LOCALHOST.into(),
        RecordKind::Aaaa => std::net::Ipv6Addr::LOCALHOST.into(),
        RecordKind::Naptr | RecordKind::Srv => {
            return Answer::new(Outcome::NoSuchName, SYSTEM_TTL);
        }
    };
    Answer::new(Outcome::Records(vec![Record::Address(ip)]), SYSTEM_TTL)
}

/// Addresses of the wanted family, or `None` when the system knows none either.
async fn from_system(question: &Question) -> Option<Answer> {
    let v4 = question.kind == RecordKind::A;
    let found = tokio::net::lookup_host((question.name.as_str(), 0))
        .await
        .ok()?;
    let mut records: Vec<Record> = Vec::new();
    for ip in found.map(|addr| addr.ip()).filter(|ip| ip.is_ipv4() == v4) {
        if !records.contains(&Record::Address(ip)) {
            records.push(Record::Address(ip));
        }
    }
    (!records.is_empty()).then(|| Answer::new(Outcome::Records(records), SYSTEM_TTL))
}
