//! Session timers (RFC 4028): a call whose peer has vanished ends by itself.
//!
//! ```text
//!   2xx to INVITE, re-INVITE or UPDATE, sent or received
//!    │
//!    ├── half the interval ──► Refresh: the refresher sends UPDATE, or a re-INVITE with the same description
//!    │                              └─ 2xx: all starts anew
//!    ├── half a minute before the end ──► the other side does, where nothing has come of that
//!    └── the interval less min(32 s, a third) ──► SessionEnd: BYE, whoever refreshes
//! ```
//!
//! The words `uac` and `uas` of a Session-Expires mean the ends of the transaction that it stands in, not of the call.

use std::time::{Duration, Instant};

use sip_message::{HeaderName, Headers, Method, Refresher, Response, SessionExpires};

use super::reliable::names_option;
use super::task::{ClientTask, Purpose, TaskId};
use super::{Call, CallTimer, EndKind, Phase};
use crate::stateless::Capabilities;

/// The option tag.
pub(super) const OPTION: &str = "timer";
/// No interval is shorter (RFC 4028 §4 and §5).
const FLOOR_S: u32 = 90;
/// A longer interval is not waited out: a peer that asks for a year is refreshed each half day.
const CEILING_S: u32 = 24 * 60 * 60;
/// A peer that grants a few seconds is not refreshed more often than this.
const SHORTEST_REFRESH: Duration = Duration::from_secs(10);
/// How long before the call is ended the side refreshes that need not; a shorter interval is halved from when the other had to.
const LAST_TRY: Duration = Duration::from_secs(30);
/// How long before the expiry the call is ended (RFC 4028 §10), unless a third of the interval is shorter.
const MARGIN: Duration = Duration::from_secs(32);

/// What we want of session timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimer {
    /// The Session-Expires that we ask for, 30 minutes unless changed. `None`: we ask for nothing and still keep to
    /// what a peer or a proxy asks for.
    pub interval: Option<Duration>,
    /// The shortest interval that we take, 90 s unless changed and never less: a request for less is answered 422
    /// with this Min-SE.
    pub minimum: Duration,
}

impl Default for SessionTimer {
    fn default() -> Self {
        Self {
            interval: Some(Duration::from_secs(1800)),
            minimum: Duration::from_secs(u64::from(FLOOR_S)),
        }
    }
}

impl SessionTimer {
    /// Our Min-SE, in seconds.
    fn minimum_s(&self) -> u32 {
        seconds(self.minimum).max(FLOOR_S)
    }

    /// The Min-SE to refuse this INVITE or UPDATE with, when it asks for a shorter interval than we take. Only who
    /// knows the extension can be refused so (RFC 4028 §9).
    pub(super) fn too_short(&self, ours: &Capabilities, headers: &Headers) -> Option<u32> {
        if !knows(ours) || !peer_knows(headers) {
            return None;
        }
        let asked = headers.session_expires().ok()?.interval_s;
        (asked < self.minimum_s()).then(|| self.minimum_s())
    }
}

/// The session timer as it was agreed upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionInterval {
    /// The Session-Expires of the last 2xx.
    pub interval: Duration,
    /// Whether the refreshes are ours to send.
    pub we_refresh: bool,
}

/// A 422 to our INVITE that ends the call (RFC 4028 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntervalRefused {
    /// The Session-Expires of the refused INVITE, in seconds; `None` where it had none.
    pub asked_s: Option<u32>,
    /// Its Min-SE, in seconds, which a 422 has to have; `None` where there is none that can be read.
    pub least_s: Option<u32>,
    /// Whether what was asked for is what an earlier 422 had named (RFC 4028 §7.3).
    pub lengthened: bool,
}

/// What a call knows of its session timer.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    agreed: Option<Agreed>,
    /// The largest Min-SE that anybody named in this call; 0 for none.
    minimum_s: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Agreed {
    interval_s: u32,
    we_refresh: bool,
}

impl Call {
    /// The session timer that runs; `None` when none was agreed upon.
    #[must_use]
    pub fn session_interval(&self) -> Option<SessionInterval> {
        let agreed = self.session.agreed?;
        Some(SessionInterval {
            interval: Duration::from_secs(u64::from(agreed.interval_s)),
            we_refresh: agreed.we_refresh,
        })
    }

    /// Session-Expires and Min-SE of a request of ours. The first INVITE asks; later ones say what runs, and who
    /// refreshes stays who it is (RFC 4028 §7.1 and §7.4).
    pub(super) fn ask_for_timer(&self, headers: &mut Headers) {
        if !knows(&self.config.capabilities) {
            return;
        }
        let first = self.phase == Phase::Calling;
        let wish = self
            .config
            .session_timer
            .interval
            .filter(|_| first)
            .map(seconds);
        let running = self.session.agreed.map(|agreed| agreed.interval_s);
        let own_minimum = Some(self.config.session_timer.minimum_s()).filter(|own| *own > FLOOR_S);
        let minimum = self.session.minimum_s.max(own_minimum.unwrap_or_default());
        if let Some(interval) = running.or(wish) {
            let refresher = self.session.agreed.map(|agreed| match agreed.we_refresh {
                true => Refresher::Uac,
                false => Refresher::Uas,
            });
            let interval = interval.max(minimum).max(FLOOR_S);
            headers.push(
                HeaderName::SessionExpires,
                SessionExpires::new(interval, refresher),
            );
        }
        if minimum > 0 {
            headers.push(HeaderName::MinSe, minimum);
        }
    }

    /// A 2xx to a refresh of ours: the timer runs as it says, or not at all (RFC 4028 §7.2).
    pub(super) fn timer_from_answer(&mut self, now: Instant, headers: &Headers) {
        if !knows(&self.config.capabilities) {
            return;
        }
        self.session.agreed = headers.session_expires().ok().map(|granted| Agreed {
            interval_s: granted.interval_s.min(CEILING_S),
            // Where nobody is named no one but us can know of it.
            we_refresh: granted.refresher != Some(Refresher::Uas),
        });
        if let Some(agreed) = self.session.agreed
            && agreed.interval_s < FLOOR_S
        {
            self.notice("the peer grants a session interval under 90 s, which RFC 4028 forbids");
        }
        self.arm(now);
    }

    /// Writes the session timer into our 2xx to a request that refreshes, and starts it (RFC 4028 §9).
    pub(super) fn grant_timer(&mut self, now: Instant, id: TaskId, response: &mut Response) {
        if !knows(&self.config.capabilities) {
            return;
        }
        let Some(request) = self.server(id).map(|task| task.request.headers.clone()) else {
            return;
        };
        let known = peer_knows(&request);
        let named = request.min_se().unwrap_or_default();
        self.session.minimum_s = self.session.minimum_s.max(named);
        let least = named.max(self.config.session_timer.minimum_s());
        let asked = request.session_expires().ok();
        let wish = self.config.session_timer.interval.map(seconds);
        let interval = match (&asked, wish) {
            // Shorter than asked for, where we want that, and never longer.
            (Some(asked), Some(wish)) => wish.max(least).min(asked.interval_s),
            (Some(asked), None) => asked.interval_s,
            (None, Some(wish)) if known => wish.max(least),
            (None, _) => {
                self.session.agreed = None;
                return self.arm(now);
            }
        }
        .min(CEILING_S);
        let refresher = match asked.and_then(|asked| asked.refresher) {
            // RFC 4028 §9, Table 2: who does not know the extension cannot be made to refresh.
            _ if !known => Refresher::Uas,
            Some(refresher) => refresher,
            None if self.session.agreed.is_some_and(|agreed| !agreed.we_refresh) => Refresher::Uac,
            None => Refresher::Uas,
        };
        let expires = SessionExpires::new(interval, Some(refresher));
        response.headers.push(HeaderName::SessionExpires, expires);
        if known {
            response.headers.push(HeaderName::Require, OPTION);
        }
        self.session.agreed = Some(Agreed {
            interval_s: interval,
            we_refresh: refresher == Refresher::Uas,
        });
        self.arm(now);
    }

    /// 422 to a request of ours: once more with the interval that was named (RFC 4028 §7.3). False when that was done
    /// before, or the answer names none that is longer.
    pub(super) fn lengthen_and_retry(
        &mut self,
        now: Instant,
        id: TaskId,
        response: &Response,
    ) -> bool {
        let Ok(minimum) = response.headers.min_se() else {
            return false;
        };
        let Some(task) = self.client(id) else {
            return false;
        };
        let headers = &mut task.request.headers;
        let Ok(mut asked) = headers.session_expires() else {
            return false;
        };
        if task.lengthened || minimum <= asked.interval_s {
            return false;
        }
        task.lengthened = true;
        asked.interval_s = minimum;
        headers.set(HeaderName::SessionExpires, asked);
        headers.set(HeaderName::MinSe, minimum);
        self.session.minimum_s = self.session.minimum_s.max(minimum);
        if let Some(agreed) = &mut self.session.agreed {
            agreed.interval_s = agreed.interval_s.max(minimum);
        }
        self.send_again(now, id);
        true
    }

    /// What a 422 that was not followed refused.
    pub(super) fn interval_refused(&mut self, id: TaskId, response: &Response) -> IntervalRefused {
        let task = self.client(id);
        let asked = task
            .as_ref()
            .and_then(|task| task.request.headers.session_expires().ok());
        IntervalRefused {
            asked_s: asked.map(|asked| asked.interval_s),
            least_s: response.headers.min_se().ok(),
            lengthened: task.is_some_and(|task| task.lengthened),
        }
    }

    /// Half the interval is over (RFC 4028 §10).
    pub(super) fn refresh(&mut self, now: Instant) {
        let under_way = |task: &ClientTask| {
            let refreshes = matches!(
                task.purpose,
                Purpose::Reinvite { .. } | Purpose::Update { .. }
            );
            refreshes && task.is_open()
        };
        if self.phase != Phase::Talking || self.session.agreed.is_none() {
            return;
        }
        if self.clients.iter().any(under_way) {
            // Its answer refreshes the session; if that is no 2xx, then this comes next.
            return self.refresh_later(now);
        }
        let takes_update = self
            .dialog
            .as_ref()
            .is_some_and(|dialog| dialog.takes(&Method::Update));
        if takes_update {
            if let Some(tag) = self.dialog_tag() {
                self.send_update(now, tag, None, true);
            }
        } else {
            self.refresh_by_reinvite();
        }
    }

    /// Our refresh came to nothing for now: once more in half of the time that is left, if there is any.
    pub(super) fn refresh_later(&mut self, now: Instant) {
        let left = self
            .deadlines
            .at(CallTimer::SessionEnd)
            .map(|at| at.saturating_duration_since(now) / 2);
        if let Some(left) = left.filter(|left| *left >= SHORTEST_REFRESH) {
            self.deadlines.set(CallTimer::Refresh, now + left);
        }
    }

    /// Nobody refreshed the session in time.
    pub(super) fn session_expired(&mut self, now: Instant) {
        if self.phase == Phase::Talking {
            self.leave_because(now, EXPIRED.0, EXPIRED.1);
            self.end(now, EndKind::SessionExpired);
        }
    }

    fn arm(&mut self, now: Instant) {
        self.deadlines.clear(CallTimer::Refresh);
        self.deadlines.clear(CallTimer::SessionEnd);
        let Some(agreed) = self.session.agreed else {
            return;
        };
        let interval = Duration::from_secs(u64::from(agreed.interval_s));
        let lasts = interval.max(Duration::from_secs(u64::from(FLOOR_S)));
        let end = lasts.saturating_sub(MARGIN.min(lasts / 3));
        self.deadlines.set(CallTimer::SessionEnd, now + end);
        let half = (interval / 2).max(SHORTEST_REFRESH);
        // Whose turn it is may be forgotten by a peer, or understood in two ways where requests have crossed: a peer that is
        // there answers us, too, before the call would be ended.
        let ours = if agreed.we_refresh {
            half
        } else {
            half.max((half + end) / 2).max(end.saturating_sub(LAST_TRY))
        };
        self.deadlines.set(CallTimer::Refresh, now + ours);
    }
}

/// Cause and text of the Reason header (RFC 3326) in the BYE of a session that nobody refreshed.
const EXPIRED: (u16, &str) = (408, "session timer expired");

/// Whether we take part in session timers at all.
fn knows(ours: &Capabilities) -> bool {
    let mut tags = ours.supported.iter();
    tags.any(|tag| tag.eq_ignore_ascii_case(OPTION))
}

fn peer_knows(headers: &Headers) -> bool {
    names_option(headers, HeaderName::Supported, OPTION)
        || names_option(headers, HeaderName::Require, OPTION)
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
