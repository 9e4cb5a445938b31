//! One search, from a next hop to its targets.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use privacy::Sentence;
use sip_message::Host;

use super::order::{
    by_order_and_preference, by_priority_and_weight, interleaved, naptr_transport, srv_prefix,
    unfit, usual_port,
};
use super::record::{Answer, Naptr, Outcome, Question, Record, RecordKind, Srv, normal_name};
use super::{Kind, LocateConfig, Located, NextHop, Target};
use crate::path::{ResolveError, Transport};
use crate::tokens::{Seed, Tokens};

/// What a search wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocateOutput {
    /// Answer this question, from a cache or a name server, by [`Locate::handle_answer`].
    Ask(Question),
    /// Something a person may want to know: an answer cut, an address dropped.
    Notice(Sentence),
    /// The end. Nothing follows.
    Done(Result<Located, ResolveError>),
}

/// One search. See the module's text.
#[derive(Debug)]
pub struct Locate {
    hop: NextHop,
    config: LocateConfig,
    tokens: Tokens,
    phase: Phase,
    asked: Vec<Asked>,
    outputs: VecDeque<LocateOutput>,
    /// The shortest time to live among the answers used.
    holds: Option<Duration>,
    /// No more questions: what is not known by now never will be.
    closed: bool,
    /// What was told already.
    notices: Vec<String>,
}

#[derive(Debug)]
struct Asked {
    question: Question,
    answer: Option<Answer>,
}

/// Which round of questions is out.
#[derive(Debug)]
enum Phase {
    /// Which services has the domain? (RFC 3263 §4.1)
    Services,
    /// Which hosts has each of these services? (RFC 3263 §4.2)
    HostsOf(Vec<Service>),
    /// Which addresses have these hosts?
    AddressesOf(Vec<Candidate>),
    Done,
}

/// A service: a transport, and the name of its SRV records.
#[derive(Clone, Debug)]
struct Service {
    transport: Transport,
    name: String,
}

/// A host before its addresses are known.
#[derive(Clone, Debug)]
struct Candidate {
    transport: Transport,
    host: String,
    port: u16,
    service: u8,
    priority: u16,
    weight: u16,
}

impl Candidate {
    fn target(&self, ip: IpAddr) -> Target {
        Target {
            transport: self.transport,
            addr: SocketAddr::new(ip, self.port),
            host: self.host.clone(),
            service: self.service,
            priority: self.priority,
            weight: self.weight,
        }
    }
}

/// How many records of one answer are looked at.
const RECORDS: usize = 128;
/// How many hosts of all services are looked at.
const CANDIDATES: usize = 128;
/// How many notices one search gives.
const NOTICES: usize = 16;

impl Locate {
    /// Starts a search. The seed decides the draw by weight.
    pub fn new(hop: NextHop, config: LocateConfig, seed: &Seed) -> Self {
        let mut search = Self {
            hop,
            config,
            tokens: Tokens::new(seed),
            phase: Phase::Services,
            asked: Vec::new(),
            outputs: VecDeque::new(),
            holds: None,
            closed: false,
            notices: Vec::new(),
        };
        search.begin();
        search
    }

    /// Takes an answer. One to a question that is not open is dropped.
    pub fn handle_answer(&mut self, question: &Question, answer: Answer) {
        let open = |asked: &&mut Asked| asked.answer.is_none() && asked.question == *question;
        let Some(asked) = self.asked.iter_mut().find(open) else {
            return;
        };
        asked.answer = Some(answer);
        self.advance();
    }

    /// The time is over: what is known by now has to do, and no more is asked.
    pub fn close(&mut self) {
        self.closed = true;
        for asked in &mut self.asked {
            asked
                .answer
                .get_or_insert_with(|| Answer::new(Outcome::TimedOut, Duration::ZERO));
        }
        self.advance();
    }

    /// The next thing to do; `None` while answers are awaited, and after the end.
    pub fn poll_output(&mut self) -> Option<LocateOutput> {
        self.outputs.pop_front()
    }

    /// Whether it has ended.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// How many questions it has asked.
    pub fn questions(&self) -> usize {
        self.asked.len()
    }

    fn begin(&mut self) {
        let hop = self.hop.clone();
        if let Some(transport) = hop.transport
            && !self.config.transports.contains(&transport)
        {
            return self.unusable(format!("transport {transport} is not available"));
        }
        if self.usable().next().is_none() {
            return self.unusable("no transport is available for this address".to_owned());
        }
        let transport = hop.transport.unwrap_or_else(|| self.default_transport(&[]));
        let name = match &hop.host {
            Host::V4(ip) => return self.literal(transport, (*ip).into()),
            Host::V6(ip) => return self.literal(transport, (*ip).into()),
            Host::Name(name) => name.clone(),
        };
        // The table comes before any question, and a name in it needs no services.
        if self.config.hosts.find(&name).is_some() {
            let candidate = self.plain(transport, &name);
            return self.look_for_addresses(vec![candidate]);
        }
        // RFC 3263 §4.1 and §4.2: a port asks for addresses only, a transport for its SRV only.
        match (hop.port, hop.transport) {
            (Some(_), _) => {
                let candidate = self.plain(transport, &name);
                self.look_for_addresses(vec![candidate]);
            }
            (None, Some(transport)) => {
                let services = self.service(transport, &name);
                self.look_for_hosts(services.into_iter().collect());
            }
            (None, None) if self.config.kind == Kind::Stun => {
                let services = self.usable().filter_map(|t| self.service(t, &name));
                self.look_for_hosts(services.collect());
            }
            (None, None) => {
                self.ask(RecordKind::Naptr, &name);
                self.advance();
            }
        }
    }

    /// Goes on as soon as no question is open.
    fn advance(&mut self) {
        if self.asked.iter().any(|asked| asked.answer.is_none()) {
            return;
        }
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Services => self.on_services(),
            Phase::HostsOf(services) => self.on_hosts(&services),
            Phase::AddressesOf(candidates) => self.on_addresses(&candidates),
            Phase::Done => {}
        }
    }

    /// RFC 3263 §4.1: what we do not have is left out, and of the rest the domain's order counts.
    fn on_services(&mut self) {
        let domain = self.domain();
        let naptrs = self.naptrs(&domain);
        let mut services: Vec<Service> = Vec::new();
        for naptr in by_order_and_preference(naptrs) {
            let Some(transport) = naptr_transport(self.config.kind, &naptr.service) else {
                continue;
            };
            // Only `s` leads to SRV records; everything else would be another chain to follow.
            let leads = naptr.flags.eq_ignore_ascii_case("s");
            let Some(name) = normal_name(&naptr.replacement).filter(|_| leads) else {
                self.notice(format!(
                    "{domain}: a NAPTR record for {} is of no use and is ignored",
                    naptr.service
                ));
                continue;
            };
            let known = services.iter().any(|known| known.name == name);
            if self.usable().any(|usable| usable == transport) && !known {
                services.push(Service { transport, name });
            }
        }
        if services.is_empty() {
            // RFC 3263 §4.1: without NAPTR, the SRV records of each transport that we have.
            services = self
                .usable()
                .filter_map(|transport| self.service(transport, &domain))
                .collect();
        }
        self.look_for_hosts(services);
    }

    /// RFC 3263 §4.2 and RFC 2782.
    fn on_hosts(&mut self, services: &[Service]) {
        let mut candidates = Vec::new();
        let mut without: Vec<Transport> = Vec::new();
        for (rank, service) in services.iter().enumerate() {
            let (hosts, absent) = self.srvs(&service.name);
            if hosts.is_empty() && absent {
                self.notice(format!("{} is said not to exist", service.name));
                without.push(service.transport);
            }
            for srv in by_priority_and_weight(hosts, &mut self.tokens) {
                let Some(host) = normal_name(&srv.target) else {
                    self.notice(format!("{}: a host without a usable name", service.name));
                    continue;
                };
                candidates.push(Candidate {
                    transport: service.transport,
                    host,
                    port: srv.port,
                    service: u8::try_from(rank).unwrap_or(u8::MAX),
                    priority: srv.priority,
                    weight: srv.weight,
                });
            }
        }
        if !candidates.is_empty() {
            candidates.truncate(CANDIDATES);
            return self.look_for_addresses(candidates);
        }
        // RFC 3263 §4.2: no SRV records, so the addresses of the domain itself. But where the
        // domain says that it has no such service (target `.`), there is nothing to try.
        let left = |transport: &Transport| !without.contains(transport);
        let transport = match self.hop.transport {
            Some(transport) => Some(transport).filter(left),
            // The service that the domain named first, else what goes without saying.
            None if without.is_empty() && self.has_naptr() => {
                services.first().map(|service| service.transport)
            }
            None => Some(self.default_transport(&without)).filter(left),
        };
        let domain = self.domain();
        match transport {
            Some(transport) => {
                let candidate = self.plain(transport, &domain);
                self.look_for_addresses(vec![candidate]);
            }
            None => self.unusable(format!("{domain} says that it has no such service")),
        }
    }

    fn on_addresses(&mut self, candidates: &[Candidate]) {
        let mut targets: Vec<Target> = Vec::new();
        let mut cut = 0_usize;
        let mut unfit = None;
        for candidate in candidates {
            for ip in self.addresses(&candidate.host) {
                let target = candidate.target(ip);
                if let Some(why) = self.unfit(&target) {
                    self.notice(format!("{} leads to {why}, dropped: {ip}", candidate.host));
                    unfit = Some(why);
                } else if targets
                    .iter()
                    .any(|other| other.server() == target.server())
                {
                    // The same place under another name, or in two services.
                } else if targets.len() >= self.config.targets {
                    cut += 1;
                } else {
                    targets.push(target);
                }
            }
        }
        if cut > 0 {
            self.notice(format!(
                "{}: {} servers are used and {cut} more are not",
                self.hop,
                targets.len()
            ));
        }
        if !targets.is_empty() {
            let holds = self.holds;
            return self.done(Ok(Located { targets, holds }));
        }
        let domain = self.domain();
        if let Some(why) = unfit {
            return self.unusable(format!("{domain} leads to {why}"));
        }
        let unknown = self
            .asked
            .iter()
            .filter_map(|asked| asked.answer.as_ref())
            .any(|answer| !answer.outcome.is_known());
        self.done(Err(if unknown {
            ResolveError::NoAnswer
        } else {
            ResolveError::NotFound(domain)
        }));
    }

    fn look_for_hosts(&mut self, services: Vec<Service>) {
        for service in &services {
            self.ask(RecordKind::Srv, &service.name);
        }
        self.phase = Phase::HostsOf(services);
        self.advance();
    }

    /// RFC 7984 §4: both families are asked for, whatever comes first.
    fn look_for_addresses(&mut self, candidates: Vec<Candidate>) {
        for candidate in &candidates {
            let host = &candidate.host;
            if self.config.hosts.find(host).is_some() || host.parse::<IpAddr>().is_ok() {
                continue;
            }
            if self
                .config
                .families
                .admit(std::net::Ipv6Addr::LOCALHOST.into())
            {
                self.ask(RecordKind::Aaaa, host);
            }
            if self
                .config
                .families
                .admit(std::net::Ipv4Addr::LOCALHOST.into())
            {
                self.ask(RecordKind::A, host);
            }
        }
        self.phase = Phase::AddressesOf(candidates);
        self.advance();
    }

    fn literal(&mut self, transport: Transport, ip: IpAddr) {
        if unfit(ip).is_some() || !self.config.families.admit(ip) {
            return self.unusable(format!("address {ip}"));
        }
        let candidate = self.plain(transport, &ip.to_string());
        let targets = vec![candidate.target(ip)];
        self.done(Ok(Located {
            targets,
            holds: None,
        }));
    }

    /// A host of which only the name is known: the URI's port, or the transport's own.
    fn plain(&self, transport: Transport, host: &str) -> Candidate {
        Candidate {
            transport,
            host: host.to_owned(),
            port: (self.hop.port).unwrap_or_else(|| usual_port(self.config.kind, transport)),
            service: 0,
            priority: 0,
            weight: 0,
        }
    }

    fn service(&self, transport: Transport, domain: &str) -> Option<Service> {
        let prefix = srv_prefix(self.config.kind, transport)?;
        Some(Service {
            transport,
            name: format!("{prefix}.{domain}"),
        })
    }

    /// The transports that this search may use, in our order.
    fn usable(&self) -> impl Iterator<Item = Transport> {
        let secure = self.hop.secure;
        let transports = self.config.transports.clone();
        transports
            .into_iter()
            .filter(move |transport| !secure || transport.is_secure())
    }

    /// What goes without saying: UDP, or TLS where it has to be secure (RFC 3263 §4.1), or else the
    /// one that we like best. What is `without` hope comes last.
    fn default_transport(&self, without: &[Transport]) -> Transport {
        let usual = if self.hop.secure {
            Transport::Tls
        } else {
            Transport::Udp
        };
        let left = |transport: &Transport| !without.contains(transport);
        self.usable()
            .find(|transport| *transport == usual && left(transport))
            .or_else(|| self.usable().find(left))
            .unwrap_or(usual)
    }

    fn ask(&mut self, kind: RecordKind, name: &str) {
        let Some(question) = Question::new(kind, name) else {
            return;
        };
        let known = self.asked.iter().any(|asked| asked.question == question);
        if known || self.closed {
            return;
        }
        if self.asked.len() >= self.config.questions {
            let limit = self.config.questions;
            return self.notice(format!(
                "{}: after {limit} questions to name servers no more are asked",
                self.hop
            ));
        }
        self.outputs.push_back(LocateOutput::Ask(question.clone()));
        self.asked.push(Asked {
            question,
            answer: None,
        });
    }

    /// What was answered, and a notice where there is more of it than is looked at.
    fn records(&mut self, kind: RecordKind, name: &str) -> Vec<Record> {
        let found = self
            .asked
            .iter()
            .find(|asked| asked.question.kind == kind && asked.question.name == name);
        let Some((question, answer)) =
            found.and_then(|asked| Some((&asked.question, asked.answer.as_ref()?)))
        else {
            return Vec::new();
        };
        let all = answer.records();
        let records: Vec<Record> = all.iter().take(RECORDS).cloned().collect();
        let (told, ttl) = (all.len(), answer.ttl);
        let unknown = (!answer.outcome.is_known()).then(|| question.to_string());
        if !records.is_empty() {
            self.holds = Some(self.holds.map_or(ttl, |holds| holds.min(ttl)));
        }
        if told > RECORDS {
            self.notice(format!(
                "{name}: {RECORDS} of {told} {kind} records are looked at"
            ));
        }
        if let Some(question) = unknown {
            self.notice(format!("name servers do not answer: {question}"));
        }
        records
    }

    fn naptrs(&mut self, domain: &str) -> Vec<Naptr> {
        let naptr = |record| match record {
            Record::Naptr(naptr) => Some(naptr),
            _ => None,
        };
        let records = self.records(RecordKind::Naptr, domain);
        records.into_iter().filter_map(naptr).collect()
    }

    /// Whether the domain told services of its own.
    fn has_naptr(&self) -> bool {
        self.asked.iter().any(|asked| {
            let answer = asked.answer.as_ref();
            answer.is_some_and(|answer| {
                answer
                    .records()
                    .iter()
                    .any(|record| matches!(record, Record::Naptr(naptr) if naptr_transport(self.config.kind, &naptr.service).is_some()))
            })
        })
    }

    /// The hosts of a service, and whether it is said not to exist.
    fn srvs(&mut self, name: &str) -> (Vec<Srv>, bool) {
        let srv = |record| match record {
            Record::Srv(srv) => Some(srv),
            _ => None,
        };
        let all: Vec<Srv> = self
            .records(RecordKind::Srv, name)
            .into_iter()
            .filter_map(srv)
            .collect();
        let count = all.len();
        let is_host = |srv: &Srv| !matches!(srv.target.as_str(), "." | "") && srv.port != 0;
        let hosts: Vec<Srv> = all.into_iter().filter(is_host).collect();
        let absent = hosts.len() < count;
        (hosts, absent)
    }

    fn addresses(&mut self, host: &str) -> Vec<IpAddr> {
        let families = self.config.families;
        if let Some(ips) = self.config.hosts.find(host) {
            // The table's own order counts: somebody wrote it.
            let admitted = |ip: &IpAddr| families.admit(*ip);
            return ips.iter().copied().filter(admitted).collect();
        }
        // A common mistake in zones: an address where a name belongs.
        if let Ok(ip) = host.parse::<IpAddr>() {
            self.notice(format!("an SRV record names an address and no host: {ip}"));
            return [ip].into_iter().filter(|ip| families.admit(*ip)).collect();
        }
        let address = |record| match record {
            Record::Address(ip) => Some(ip),
            _ => None,
        };
        let v6 = self.records(RecordKind::Aaaa, host);
        let v4 = self.records(RecordKind::A, host);
        interleaved(
            v4.into_iter().filter_map(address).filter(IpAddr::is_ipv4),
            v6.into_iter().filter_map(address).filter(IpAddr::is_ipv6),
            families,
        )
    }

    fn unfit(&self, target: &Target) -> Option<&'static str> {
        let own = || {
            self.config
                .own
                .contains(&target.addr)
                .then_some("ourselves")
        };
        unfit(target.addr.ip()).or_else(own)
    }

    fn domain(&self) -> String {
        self.hop.host.to_string()
    }

    /// Says it once, and not more than a person would read.
    fn notice(&mut self, text: String) {
        if self.notices.len() < NOTICES && !self.notices.contains(&text) {
            self.notices.push(text.clone());
            self.outputs.push_back(LocateOutput::Notice(text.into()));
        }
    }

    fn unusable(&mut self, what: String) {
        self.done(Err(ResolveError::Unusable(what)));
    }

    fn done(&mut self, result: Result<Located, ResolveError>) {
        self.phase = Phase::Done;
        self.outputs.push_back(LocateOutput::Done(result));
    }
}
