//! Names to addresses: literals, the static host table, SRV, then A and AAAA.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use sip_core::{ResolveError, Transport};
use sip_message::{Host, Scheme, Uri};

/// How long a name may take altogether.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long SRV records may take before plain addresses are used instead.
const SRV_PATIENCE: Duration = Duration::from_millis(2_500);
/// How many targets one name may give (a hostile zone may list thousands).
const TARGETS: usize = 16;

/// Answers of a lab's own host table, asked before DNS.
pub type HostTable = HashMap<String, Vec<IpAddr>>;

/// Finds addresses. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Resolver {
    hosts: Arc<HostTable>,
    dns: Option<Arc<TokioResolver>>,
}

/// One place to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) transport: Transport,
    pub(crate) addr: SocketAddr,
}

impl Resolver {
    /// Without a readable system configuration only the operating system's own look-up is left.
    pub(crate) fn new(hosts: HostTable) -> Self {
        let dns = TokioResolver::builder_tokio()
            .ok()
            .and_then(|b| b.build().ok())
            .map(Arc::new);
        let hosts = hosts
            .into_iter()
            .map(|(name, ips)| (name.to_ascii_lowercase(), ips))
            .collect();
        Self {
            hosts: Arc::new(hosts),
            dns,
        }
    }

    /// The places to try for a next hop, best first (RFC 3263 §4, without NAPTR).
    pub(crate) async fn resolve(
        &self,
        uri: &Uri,
        transport: Option<Transport>,
    ) -> Result<Vec<Target>, ResolveError> {
        match tokio::time::timeout(PATIENCE, self.look_up(uri, transport)).await {
            Ok(result) => result,
            Err(_) => Err(ResolveError::NoAnswer),
        }
    }

    async fn look_up(
        &self,
        uri: &Uri,
        transport: Option<Transport>,
    ) -> Result<Vec<Target>, ResolveError> {
        let asked = match transport {
            Some(transport) => Some(transport),
            None => match uri.params.get("transport") {
                Some(word) => Some(
                    Transport::parse(word)
                        .ok_or_else(|| ResolveError::Unusable(format!("transport {word}")))?,
                ),
                None => None,
            },
        };
        let secure = uri.scheme == Scheme::Sips;
        let chosen = asked.unwrap_or(if secure {
            Transport::Tls
        } else {
            Transport::Udp
        });
        // A header parameter `maddr` overrides the host (RFC 3261 §19.1.1).
        let host = match uri.params.get("maddr") {
            Some(maddr) => Host::parse(maddr).ok(),
            None => uri.sip_host().cloned(),
        };
        let host = host
            .ok_or_else(|| ResolveError::Unusable(format!("{} addresses", uri.scheme.as_str())))?;
        let name = match host {
            Host::V4(ip) => return Ok(vec![target(chosen, ip.into(), uri.port)]),
            Host::V6(ip) => return Ok(vec![target(chosen, ip.into(), uri.port)]),
            Host::Name(name) => name,
        };
        if let Some(ips) = self.hosts.get(&name.to_ascii_lowercase()) {
            return Ok(ips.iter().map(|ip| target(chosen, *ip, uri.port)).collect());
        }
        if uri.port.is_none() {
            let found = self.services(&name, asked, secure).await;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let ips = addresses(&name)
            .await
            .map_err(|e| ResolveError::NotFound(format!("{name} ({e})")))?;
        Ok(ips
            .into_iter()
            .map(|ip| target(chosen, ip, uri.port))
            .collect())
    }

    /// SRV targets in the order of RFC 2782; empty when there are none.
    async fn services(&self, name: &str, asked: Option<Transport>, secure: bool) -> Vec<Target> {
        let Some(dns) = &self.dns else {
            return Vec::new();
        };
        let wanted: &[Transport] = match asked {
            Some(Transport::Udp) => &[Transport::Udp],
            Some(Transport::Tcp) => &[Transport::Tcp],
            Some(Transport::Tls) => &[Transport::Tls],
            // WebSocket has no services of its own (RFC 7118 §4).
            Some(_) => &[],
            None if secure => &[Transport::Tls],
            None => &[Transport::Udp, Transport::Tcp],
        };
        let mut targets = Vec::new();
        for transport in wanted {
            let service = match transport {
                Transport::Tls => format!("_sips._tcp.{name}."),
                _ => format!("_sip._{}.{name}.", transport.as_str()),
            };
            let Ok(Ok(lookup)) = tokio::time::timeout(SRV_PATIENCE, dns.srv_lookup(service)).await
            else {
                continue;
            };
            let mut records: Vec<(u16, u16, u16, String)> = lookup
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    RData::SRV(srv) => {
                        Some((srv.priority, srv.weight, srv.port, srv.target.to_utf8()))
                    }
                    _ => None,
                })
                .filter(|(_, _, _, host)| host != ".")
                .collect();
            // Heavier first within a priority: one phone is no crowd that would need the draw.
            records.sort_by_key(|(priority, weight, _, _)| (*priority, u16::MAX - weight));
            for (_, _, port, host) in records.into_iter().take(TARGETS) {
                let host = host.trim_end_matches('.').to_owned();
                let ips = match self.hosts.get(&host) {
                    Some(ips) => ips.clone(),
                    None => addresses(&host).await.unwrap_or_default(),
                };
                targets.extend(ips.into_iter().map(|ip| target(*transport, ip, Some(port))));
            }
            if !targets.is_empty() {
                break;
            }
        }
        targets.truncate(TARGETS);
        targets
    }
}

fn target(transport: Transport, ip: IpAddr, port: Option<u16>) -> Target {
    Target {
        transport,
        addr: SocketAddr::new(ip, port.unwrap_or(transport.default_port())),
    }
}

/// A and AAAA through the operating system, so that its host file and its order (RFC 6724) count.
async fn addresses(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut ips: Vec<IpAddr> = Vec::new();
    for addr in tokio::net::lookup_host((name, 0)).await? {
        if !ips.contains(&addr.ip()) {
            ips.push(addr.ip());
        }
    }
    ips.truncate(TARGETS);
    if ips.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
    }
    Ok(ips)
}
