//! The tenant's flight recorder: everything on the wire and every event inside, in one order.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::{
    AccountId, CallId, Event, Notice, NoticeLevel, Sentence, TenantId, Timestamp, TraceBody,
    TraceRecord,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use sip_core::Path;
use trace::store::Tapes;
use trace::{Recorder, RecorderLimits};

use crate::hub::Hub;

/// How long records wait for company before clients are told: a window redraws at most so often
/// for them.
const BATCH: Duration = Duration::from_millis(100);

/// Bytes of messages in memory: what clients look at they keep themselves, and the rest is on disk.
const MEMORY: usize = 8 * 1024 * 1024;

/// Bytes of messages that are gathered before clients are told: what waits for a slow client is
/// counted in events.
const GATHERED: usize = 512 * 1024;
/// Bytes of messages on their way to the recorder: past it they are left out.
const UNDER_WAY: usize = 8 * 1024 * 1024;
/// What a message takes beside its bytes.
const OVERHEAD: usize = 512;

/// What a [`RecorderActor`] can be told.
pub(crate) enum RecorderMsg {
    /// Something went over the wire.
    Wire(Wire),
    /// Something happened inside.
    Note {
        /// When.
        time: Timestamp,
        /// A word for filters.
        topic: &'static str,
        /// One sentence.
        text: Sentence,
        /// Whose.
        account: Option<AccountId>,
        /// In which call.
        call: Option<CallId>,
        /// Its Call-ID.
        sip_call_id: Option<String>,
    },
    /// A line of the tape of a protocol object.
    Tape(String),
    /// Tell the clients what has gathered.
    Flush,
    /// Fail, so that the supervisor's answer can be seen.
    #[cfg(test)]
    Crash,
}

/// A message on the wire.
pub(crate) struct Wire {
    pub(crate) time: Timestamp,
    pub(crate) sent: bool,
    pub(crate) path: Path,
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) account: Option<AccountId>,
    pub(crate) call: Option<CallId>,
    /// Given back when it is recorded.
    pub(crate) _room: Weighed,
}

/// How much is on its way to a recorder. Its mailbox has no bounds of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    /// Room for a message; `None` when the recorder does not keep up.
    pub(crate) fn room(&self, octets: usize) -> Option<Weighed> {
        let octets = octets.saturating_add(OVERHEAD);
        let before = self.0.fetch_add(octets, Ordering::AcqRel);
        let room = Weighed {
            under_way: Arc::clone(&self.0),
            octets,
        };
        (before < UNDER_WAY).then_some(room)
    }
}

/// The room of one message.
#[derive(Debug)]
pub(crate) struct Weighed {
    under_way: Arc<AtomicUsize>,
    octets: usize,
}

impl Drop for Weighed {
    fn drop(&mut self) {
        self.under_way.fetch_sub(self.octets, Ordering::AcqRel);
    }
}

/// Owns the recorder of one tenant.
pub(crate) struct RecorderActor;

/// What a [`RecorderActor`] is started with.
pub(crate) struct RecorderArgs {
    pub(crate) tenant: TenantId,
    pub(crate) hub: Arc<Hub>,
    /// Folder for the records; `None` keeps them in memory only.
    pub(crate) dir: Option<PathBuf>,
}

pub(crate) struct RecorderState {
    args: RecorderArgs,
    recorder: Recorder,
    /// What went into the protocol objects; none without a folder, and none past the first fault.
    tapes: Option<Tapes>,
    gathered: Vec<TraceRecord>,
    gathered_bytes: usize,
    /// Set while a [`RecorderMsg::Flush`] is to come.
    flushing: bool,
}

impl Actor for RecorderActor {
    type Msg = RecorderMsg;
    type State = RecorderState;
    type Arguments = RecorderArgs;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let limits = RecorderLimits {
            memory_bytes: MEMORY,
            ..RecorderLimits::default()
        };
        let recorder = Recorder::open_with(args.tenant.clone(), args.dir.as_deref(), limits);
        // The recorder tells of a folder that cannot be used.
        let tapes = args
            .dir
            .as_deref()
            .and_then(|dir| Tapes::open(dir, &args.tenant).ok());
        let mut state = RecorderState {
            args,
            recorder,
            tapes,
            gathered: Vec::new(),
            gathered_bytes: 0,
            flushing: false,
        };
        let kept = state.recorder.newest(500);
        if !kept.is_empty() {
            state.args.hub.publish(Event::Trace { records: kept });
        }
        state.report_trouble();
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RecorderMsg::Wire(wire) => {
                let body = TraceBody::Sip {
                    sent: wire.sent,
                    transport: crate::names::transport(wire.path.transport),
                    local: wire.path.local.to_string(),
                    peer: wire.path.remote.to_string(),
                    bytes: wire.bytes,
                };
                state.keep(&myself, wire.time, wire.account, wire.call, body);
            }
            RecorderMsg::Note {
                time,
                topic,
                text,
                account,
                call,
                sip_call_id,
            } => {
                let body = TraceBody::Note {
                    topic: topic.to_owned(),
                    text,
                    sip_call_id,
                };
                state.keep(&myself, time, account, call, body);
            }
            RecorderMsg::Tape(line) => state.tape(|tapes| tapes.write(&line)),
            #[cfg(test)]
            RecorderMsg::Crash => panic!("told to fail"),
            RecorderMsg::Flush => {
                state.flushing = false;
                state.hand_out();
                state.recorder.flush();
                state.tape(Tapes::flush);
                state.report_trouble();
            }
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<Self::Msg>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.recorder.flush();
        state.tape(Tapes::flush);
        Ok(())
    }
}

impl RecorderState {
    /// A disk that takes no more ends the tapes; of the disk the recorder tells.
    fn tape(&mut self, write: impl FnOnce(&mut Tapes) -> std::io::Result<()>) {
        if let Some(tapes) = &mut self.tapes
            && write(tapes).is_err()
        {
            self.tapes = None;
        }
    }

    fn keep(
        &mut self,
        myself: &ActorRef<RecorderMsg>,
        time: Timestamp,
        account: Option<AccountId>,
        call: Option<CallId>,
        body: TraceBody,
    ) {
        let record = self.recorder.record(time, account, call, body);
        if !self.flushing {
            self.flushing = true;
            myself.send_after(BATCH, || RecorderMsg::Flush);
        }
        self.gathered_bytes += record.body.size();
        self.gathered.push(record);
        if self.gathered_bytes >= GATHERED {
            self.hand_out();
        }
    }

    fn hand_out(&mut self) {
        self.gathered_bytes = 0;
        let records = std::mem::take(&mut self.gathered);
        if !records.is_empty() {
            self.args.hub.publish(Event::Trace { records });
        }
    }

    /// A full or unwritable disk is said once; recording goes on in memory.
    fn report_trouble(&mut self) {
        if let Some(sentence) = self.recorder.take_trouble() {
            self.args.hub.publish(Event::Notice {
                notice: Notice {
                    time: crate::wall(),
                    level: NoticeLevel::Warning,
                    tenant: Some(self.args.tenant.clone()),
                    text: sentence.into(),
                },
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_its_way_is_bounded_and_given_back() {
        let under_way = UnderWay::default();
        let held: Vec<_> = (0..100_000).map_while(|_| under_way.room(1_000)).collect();
        assert_eq!(held.len(), UNDER_WAY.div_ceil(1_000 + OVERHEAD));
        assert!(under_way.room(1).is_none());
        drop(held);
        assert_eq!(under_way.0.load(Ordering::Acquire), 0);
        assert!(under_way.room(1).is_some());
    }
}
