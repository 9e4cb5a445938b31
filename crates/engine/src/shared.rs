//! What every actor of one engine has at hand.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use media::{PumpHandle, Sink, Source, StreamCounters, StreamHandle};
use model::{
    AccountId, CallId, CallState, CallView, Direction, Event, Failure, FailureKind, HistoryEntry,
    Levels, Notice, NoticeLevel, Outcome, Party, Private, QualityTrend, Sentence, Sounded,
    TenantId,
};
use ractor::{ActorCell, ActorId, ActorRef, Message};
use sip_core::Seed;
use sip_core::stateless::Capabilities;

use crate::devices::DevicesMsg;
use crate::hub::Hub;
use crate::mapped::Failing;
use crate::sounds::Sounds;
use crate::store::StoreMsg;
use crate::transport::Naming;
use crate::{Failover, wall};

/// What every actor of one engine has at hand. Nothing in it changes, but what is behind a lock or
/// an atomic of its own.
pub(crate) struct Shared {
    pub(crate) hub: Arc<Hub>,
    pub(crate) pump: PumpHandle,
    pub(crate) store: Service<StoreMsg>,
    pub(crate) devices: Service<DevicesMsg>,
    pub(crate) live: LiveStreams,
    /// What we truthfully say that we can do.
    pub(crate) capabilities: Capabilities,
    /// `urn:uuid:…`, the same for all registrations of this installation (RFC 5626 §4.1).
    pub(crate) instance_id: String,
    pub(crate) naming: Naming,
    pub(crate) failover: Failover,
    pub(crate) trace_dir: Option<PathBuf>,
    /// The folder for what is recorded by hand, …
    pub(crate) recordings: Option<PathBuf>,
    /// … and the file where every call is.
    pub(crate) record_calls: Option<PathBuf>,
    pub(crate) media_ports: RangeInclusive<u16>,
    pub(crate) call_media: CallMedia,
    /// How long a call may ring when it is not the usual time.
    pub(crate) ring_limit: Option<Duration>,
    /// Whether callers hear what a call sends before it is taken.
    pub(crate) announce: bool,
    /// How long a question to a peer waits for its answer when it is not the usual time.
    pub(crate) ask_limit: Option<Duration>,
    /// What the tags of answers without a transaction are made from, so that they are the same each
    /// time.
    pub(crate) stateless: Seed,
    /// What calls say in place of the microphone.
    pub(crate) sounds: Sounds,
    /// Servers that were of no use to the media of accounts.
    pub(crate) failing: Failing,
    /// When accounts may begin to ask about others.
    pub(crate) pacer: Pacer,
    pub(crate) calls: AtomicU64,
    /// Conferences numbered so far.
    pub(crate) conferences: AtomicU64,
    /// Text messages numbered so far.
    pub(crate) messages: AtomicU64,
    /// Set when the root has ended as it should.
    pub(crate) left: AtomicBool,
}

/// A name for the reports of one stream, which tells nobody who else is called from here (RFC 7022 §4.2).
pub(crate) fn cname() -> String {
    format!("{:016x}{:08x}", random_u64(), random_u64() >> 32)
}

/// A certificate for handshakes. Without one the calls that want it are refused with a word, and all others go on.
pub(crate) fn certificate() -> Option<dtls::Certificate> {
    dtls::Certificate::generate()
        .inspect_err(|error| tracing::error!(%error, "encrypted media"))
        .ok()
}

/// Keeps apart what would begin together: each asks for its turn and hears how long to wait.
pub(crate) struct Pacer {
    every: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pacer {
    /// One turn in such a time.
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            next: Mutex::new(None),
        }
    }

    /// How long the next one waits. Whoever is alone does not.
    pub(crate) fn turn(&self, now: Instant) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = next.map_or(now, |next| next.max(now));
        *next = Some(at + self.every);
        at.saturating_duration_since(now)
    }
}

/// Where the sound of calls comes from and goes to.
#[derive(Clone, Debug, Default)]
pub enum CallMedia {
    /// Microphone and speaker, shared by all calls.
    #[default]
    Devices,
    /// For scripts and tests: each call has its own.
    PerCall {
        /// What the peer hears.
        source: Source,
        /// Where what we hear goes; `{call}` in a file name becomes the call's number.
        sink: Sink,
    },
}

impl CallMedia {
    /// Silence out and nowhere in: for what has no calls.
    pub fn null() -> Self {
        Self::PerCall {
            source: Source::Silence,
            sink: Sink::Discard,
        }
    }

    /// Whether a microphone or a speaker is needed.
    pub(crate) fn uses_devices(&self) -> bool {
        match self {
            Self::Devices => true,
            Self::PerCall { source, sink } => {
                matches!(source, Source::Microphone)
                    || matches!(sink, Sink::Speaker | Sink::RecordAndSpeaker(_))
            }
        }
    }
}

/// The sink with the call's number in the file name where `{call}` stands.
fn sink_of(sink: &Sink, call: CallId) -> Sink {
    match sink {
        Sink::Record(path) => Sink::Record(file_of(path, call)),
        Sink::RecordAndSpeaker(path) => Sink::RecordAndSpeaker(file_of(path, call)),
        other => other.clone(),
    }
}

/// A file for one call: `{call}` in its name becomes the call's number.
pub(crate) fn file_of(path: &Path, call: CallId) -> PathBuf {
    PathBuf::from(path.to_string_lossy().replace("{call}", &call.to_string()))
}

/// Which tone a call has sounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ringing {
    /// Our phone rings.
    Here,
    /// Theirs does, and we hear that it does.
    There,
}

/// The mailbox of an actor that many speak to, which is another after it was started again.
pub(crate) struct Service<M>(Mutex<ActorRef<M>>);

impl<M: Message> Service<M> {
    pub(crate) fn new(actor: ActorRef<M>) -> Self {
        Self(Mutex::new(actor))
    }

    pub(crate) fn replace(&self, actor: ActorRef<M>) {
        *self.lock() = actor;
    }

    pub(crate) fn cast(&self, message: M) {
        // Between a failure and the restart nobody listens: whoever restarts it knows what it missed.
        let _ = self.lock().cast(message);
    }

    pub(crate) fn id(&self) -> ActorId {
        self.lock().get_id()
    }

    /// Lets it outlive its supervisor.
    pub(crate) fn unlink(&self, supervisor: ActorCell) {
        self.lock().unlink(supervisor);
    }

    /// Ends it when it has done what it was told so far.
    pub(crate) async fn drain(&self, patience: Duration) {
        let actor = self.lock().clone();
        let _ = actor.drain_and_wait(Some(patience)).await;
    }

    fn lock(&self) -> MutexGuard<'_, ActorRef<M>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The streams whose levels the view may ask for at any frame.
#[derive(Default)]
pub(crate) struct LiveStreams(Mutex<HashMap<CallId, LiveStream>>);

/// The stream of one call.
struct LiveStream {
    counters: Arc<StreamCounters>,
    /// The call ends it.
    handle: Weak<StreamHandle>,
}

impl LiveStreams {
    pub(crate) fn insert(&self, call: CallId, stream: &Arc<StreamHandle>) {
        let live = LiveStream {
            counters: stream.counters(),
            handle: Arc::downgrade(stream),
        };
        self.lock().insert(call, live);
    }

    /// Nothing that is said here goes to this call from now on, until the call itself says otherwise: it may wait for a
    /// server when it is told.
    pub(crate) fn hush(&self, call: CallId) {
        let live = self
            .lock()
            .get(&call)
            .and_then(|live| live.handle.upgrade());
        if let Some(stream) = live {
            stream.set_muted(true);
        }
    }

    pub(crate) fn remove(&self, call: CallId) {
        self.lock().remove(&call);
    }

    pub(crate) fn levels(&self, call: CallId) -> Levels {
        self.lock()
            .get(&call)
            .map_or(Levels::default(), |live| Levels {
                capture: live.counters.send_level(),
                playout: live.counters.receive_level(),
            })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CallId, LiveStream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Fresh entropy for one protocol object.
    pub(crate) fn seed(&self) -> Seed {
        seed()
    }

    pub(crate) fn next_call(&self) -> CallId {
        CallId(self.calls.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Source and sink of a new stream.
    pub(crate) fn media_of(&self, call: CallId) -> (Source, Sink) {
        match &self.call_media {
            CallMedia::Devices => (Source::Microphone, Sink::Speaker),
            CallMedia::PerCall { source, sink } => (source.clone(), sink_of(sink, call)),
        }
    }

    /// Shows a call that never came to be, with the reason.
    pub(crate) fn publish_still_call(
        &self,
        tenant: &TenantId,
        account: &AccountId,
        id: CallId,
        target: &model::Identity,
        failure: Failure,
    ) {
        let now = wall();
        let view = CallView {
            id,
            tenant: tenant.clone(),
            account: account.clone(),
            direction: Direction::Outgoing,
            remote: Party {
                display: None,
                uri: target.clone(),
            },
            state: CallState::Ended,
            held_by_us: false,
            held_by_peer: false,
            muted: false,
            created_at: now,
            connected_at: None,
            ended_at: Some(now),
            codec: None,
            secured: false,
            security: model::MediaSecurity::default(),
            dtmf_sent: Private::default(),
            dtmf_received: Private::default(),
            stats: None,
            failure: Some(failure),
            last_status: None,
            media_peer: None,
            sip_call_id: String::new(),
            transfer: None,
            redirect: None,
            details: model::CallDetails::default(),
            conference: None,
            sound: model::SoundView::default(),
            ending: None,
        };
        self.file(&view, Outcome::Failed, None);
        self.hub.publish(Event::Call {
            call: Box::new(view),
        });
    }

    /// Ends the live calls that went down with somebody else's actor, for their users and in the
    /// history.
    pub(crate) fn fail_calls(&self, which: impl Fn(&CallView) -> bool, whose: &str) {
        let calls: Vec<_> = self.hub.read(|s| {
            s.calls
                .iter()
                .filter(|c| c.state.is_live() && which(c))
                .cloned()
                .collect()
        });
        for mut call in calls {
            call.state = CallState::Ended;
            call.ended_at = Some(wall());
            call.failure = Some(Failure::new(FailureKind::Internal {
                detail: whose.into(),
            }));
            self.live.remove(call.id);
            self.release_devices(call.id);
            self.file(&call, Outcome::Failed, None);
            self.hub.publish(Event::Call {
                call: Box::new(call),
            });
        }
    }

    /// Says something that has no place of its own.
    pub(crate) fn notice(
        &self,
        level: NoticeLevel,
        tenant: Option<&TenantId>,
        text: impl Into<Sentence>,
    ) {
        let notice = Notice {
            time: wall(),
            level,
            tenant: tenant.cloned(),
            text: text.into(),
        };
        self.hub.publish(Event::Notice { notice });
    }

    /// Puts a finished call into the history.
    pub(crate) fn file(
        &self,
        view: &CallView,
        outcome: Outcome,
        sounded: Option<(Sounded, QualityTrend)>,
    ) {
        let (sounded, trend) = sounded.unzip();
        let talk = view
            .connected_at
            .zip(view.ended_at)
            .map(|(from, to)| to.since(from));
        let entry = HistoryEntry {
            id: 0,
            tenant: view.tenant.clone(),
            account: view.account.clone(),
            direction: view.direction,
            remote: view.remote.clone(),
            started_at: view.created_at,
            talk_ms: talk.map_or(0, |t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
            outcome,
            sounded,
            status: view.failure.as_ref().and_then(status_of),
            sentence: view.why_ended(),
            sip_call_id: view.sip_call_id.clone(),
        };
        let trend = trend.unwrap_or_default();
        self.store.cast(StoreMsg::File(Box::new(entry), trend));
    }

    /// The devices need not wait for a call any more.
    pub(crate) fn release_devices(&self, call: CallId) {
        self.devices.cast(DevicesMsg::Call {
            call,
            ringing: None,
            talking: false,
            voice: model::VoicePolicy::default(),
        });
    }
}

/// The status and phrase that a peer ended the call with; other failures have none.
fn status_of(failure: &Failure) -> Option<(u16, Private)> {
    match &failure.what {
        FailureKind::Status { code, phrase } => Some((*code, phrase.clone())),
        FailureKind::SessionTooShort { phrase, .. } => Some((422, phrase.clone())),
        _ => None,
    }
}

/// Fresh entropy for one protocol object.
pub(crate) fn seed() -> Seed {
    let mut bytes = [0_u8; 32];
    fill(&mut bytes);
    Seed(bytes)
}

pub(crate) fn random_u64() -> u64 {
    let mut bytes = [0_u8; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

pub(crate) fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives randomness");
}
