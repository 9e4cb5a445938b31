//! How events become state: the one fold that the engine's own memory and every client share.

use crate::{Event, Snapshot};

/// How many lines of history a [`Snapshot`] keeps; older ones are asked for.
const HISTORY_LINES: usize = 500;
/// How many notices a [`Snapshot`] keeps.
const NOTICES: usize = 20;
/// How many trace records a [`Snapshot`] keeps; older ones stand in the recorder.
const TRACE_RECORDS: usize = 2_000;
/// How many bytes of messages those may hold: a flood of large ones is no reason to keep them all.
const TRACE_BYTES: usize = 4 * 1024 * 1024;

impl Snapshot {
    /// Folds one event in. Each event carries the whole new view of its thing, so folding the same
    /// event twice changes nothing, and the order of events about different things does not matter.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Resync { snapshot } => *self = (**snapshot).clone(),
            Event::Tenant { tenant } => put(&mut self.tenants, tenant, |t| t.id == tenant.id),
            Event::TenantRemoved { tenant } => {
                self.tenants.retain(|t| t.id != *tenant);
                let accounts = self.accounts.iter().filter(|a| a.tenant == *tenant);
                let accounts: Vec<_> = accounts.map(|a| a.id.clone()).collect();
                self.logins.retain(|l| !accounts.contains(&l.account));
                self.accounts.retain(|a| a.tenant != *tenant);
                self.calls.retain(|c| c.tenant != *tenant);
                self.messages.retain(|m| m.tenant != *tenant);
                self.history.retain(|h| h.tenant != *tenant);
                self.trace.retain(|r| r.tenant != *tenant);
            }
            Event::Account { account } => put(&mut self.accounts, account, |a| a.id == account.id),
            Event::AccountRemoved { account } => {
                self.accounts.retain(|a| a.id != *account);
                self.messages.retain(|m| m.account != *account);
                self.logins.retain(|l| l.account != *account);
            }
            Event::LoginWanted { login } => login.put_into(&mut self.logins),
            Event::LoginSettled { login } => login.take_from(&mut self.logins),
            Event::Message { message } => message.put_into(&mut self.messages),
            Event::MessagesCleared { account } => {
                self.messages.retain(|m| m.account != *account);
            }
            Event::Call { call } => {
                put(&mut self.calls, call, |c| c.id == call.id);
                if !call.state.is_live() {
                    self.logins.retain(|l| l.call != Some(call.id));
                }
            }
            Event::CallRemoved { call } => self.calls.retain(|c| c.id != *call),
            Event::History { entry } => {
                if !self.history.iter().any(|h| h.id == entry.id) {
                    self.history.insert(0, entry.clone());
                    self.history.truncate(HISTORY_LINES);
                }
            }
            Event::HistoryCleared { tenant } => self.history.retain(|h| h.tenant != *tenant),
            Event::Trace { records } => {
                // Each tenant tells in batches of its own: what comes later may have been earlier.
                for record in records {
                    let later = self.trace.iter().rev().take_while(|r| r.time > record.time);
                    let at = self.trace.len() - later.count();
                    self.trace.insert(at, record.clone());
                }
                let newest = self.trace.iter().rev().scan(0, |bytes, record| {
                    *bytes += record.body.size();
                    Some(*bytes)
                });
                let kept = newest
                    .take(TRACE_RECORDS)
                    .take_while(|bytes| *bytes <= TRACE_BYTES)
                    .count();
                let surplus = self.trace.len() - kept;
                self.trace.drain(..surplus);
            }
            Event::Devices { devices } => self.devices = devices.clone(),
            Event::Preferences { preferences } => self.preferences = *preferences,
            Event::Secrets { secrets } => self.secrets = secrets.clone(),
            Event::Notice { notice } => {
                self.notices.push(notice.clone());
                let surplus = self.notices.len().saturating_sub(NOTICES);
                self.notices.drain(..surplus);
            }
            Event::Dtmf { .. }
            | Event::Quality { .. }
            | Event::OptionsAnswered { .. }
            | Event::RequestAnswered { .. }
            | Event::Stopped => {}
        }
    }
}

fn put<T: Clone>(list: &mut Vec<T>, item: &T, same: impl Fn(&T) -> bool) {
    match list.iter_mut().find(|i| same(i)) {
        Some(old) => *old = item.clone(),
        None => list.push(item.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sentence, TenantId, TenantView, Timestamp, TraceBody, TraceRecord};

    fn tenant(id: &str, name: &str) -> Event {
        Event::Tenant {
            tenant: TenantView {
                id: TenantId::new(id),
                name: name.to_owned(),
                colour: 0,
                degraded: false,
                bind: None,
                traffic: crate::Traffic::default(),
                trusted: Vec::new(),
            },
        }
    }

    #[test]
    fn a_view_replaces_the_one_before_and_keeps_its_place() {
        let mut state = Snapshot::default();
        for event in [tenant("a", "A"), tenant("b", "B"), tenant("a", "Acme")] {
            state.apply(&event);
            state.apply(&event);
        }
        let names: Vec<_> = state.tenants.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["Acme", "B"]);
        state.apply(&Event::TenantRemoved {
            tenant: TenantId::new("a"),
        });
        assert_eq!(state.tenants.len(), 1);
    }

    #[test]
    fn what_two_tenants_recorded_stands_in_the_order_of_time() {
        let mut state = Snapshot::default();
        for (tenant, times) in [("a", [1, 4]), ("b", [2, 3]), ("a", [4, 5])] {
            let records = times.map(|time| TraceRecord {
                id: 1,
                time: Timestamp(time),
                tenant: TenantId::new(tenant),
                account: None,
                call: None,
                body: TraceBody::Note {
                    topic: "t".to_owned(),
                    text: Sentence::default(),
                    sip_call_id: None,
                },
            });
            state.apply(&Event::Trace {
                records: records.to_vec(),
            });
        }
        let times: Vec<_> = state.trace.iter().map(|r| r.time.0).collect();
        assert_eq!(times, [1, 2, 3, 4, 4, 5]);
    }

    #[test]
    fn the_trace_keeps_the_newest() {
        let mut state = Snapshot::default();
        let record = |id| TraceRecord {
            id,
            time: Timestamp(0),
            tenant: TenantId::new("a"),
            account: None,
            call: None,
            body: TraceBody::Note {
                topic: "t".to_owned(),
                text: Sentence::default(),
                sip_call_id: None,
            },
        };
        state.apply(&Event::Trace {
            records: (0..3_000).map(record).collect(),
        });
        assert_eq!(state.trace.len(), TRACE_RECORDS);
        assert_eq!(state.trace.last().map(|r| r.id), Some(2_999));

        let large = |id| TraceRecord {
            body: TraceBody::Sip {
                sent: false,
                transport: crate::Transport::Udp,
                local: String::new(),
                peer: String::new(),
                bytes: std::sync::Arc::from(vec![0; 64 * 1024]),
            },
            ..record(id)
        };
        state.apply(&Event::Trace {
            records: (3_000..3_200).map(large).collect(),
        });
        assert_eq!(state.trace.len(), TRACE_BYTES / (64 * 1024));
        assert_eq!(state.trace.last().map(|r| r.id), Some(3_199));
    }
}
