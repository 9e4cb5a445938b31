//! The tenant's flight recorder: everything on the wire and every event inside, in one order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{
    AccountId, CallId, Event, Notice, NoticeLevel, TenantId, Timestamp, TraceBody, TraceRecord,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use sip_core::Path;
use trace::{Recorder, RecorderLimits};

use crate::hub::Hub;

/// How long records wait for company before clients are told: a window redraws at most so often
/// for them.
const BATCH: Duration = Duration::from_millis(100);

/// Bytes of messages in memory: what clients look at they keep themselves, and the rest is on disk.
const MEMORY: usize = 8 * 1024 * 1024;

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
        text: String,
        /// Whose.
        account: Option<AccountId>,
        /// In which call.
        call: Option<CallId>,
        /// Its Call-ID.
        sip_call_id: Option<String>,
    },
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
    gathered: Vec<TraceRecord>,
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
        let mut state = RecorderState {
            args,
            recorder,
            gathered: Vec::new(),
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
            #[cfg(test)]
            RecorderMsg::Crash => panic!("told to fail"),
            RecorderMsg::Flush => {
                let records = std::mem::take(&mut state.gathered);
                state.args.hub.publish(Event::Trace { records });
                state.recorder.flush();
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
        Ok(())
    }
}

impl RecorderState {
    fn keep(
        &mut self,
        myself: &ActorRef<RecorderMsg>,
        time: Timestamp,
        account: Option<AccountId>,
        call: Option<CallId>,
        body: TraceBody,
    ) {
        let record = self.recorder.record(time, account, call, body);
        if self.gathered.is_empty() {
            myself.send_after(BATCH, || RecorderMsg::Flush);
        }
        self.gathered.push(record);
    }

    /// A full or unwritable disk is said once; recording goes on in memory.
    fn report_trouble(&mut self) {
        if let Some(sentence) = self.recorder.take_trouble() {
            self.args.hub.publish(Event::Notice {
                notice: Notice {
                    time: crate::wall(),
                    level: NoticeLevel::Warning,
                    tenant: Some(self.args.tenant.clone()),
                    text: sentence,
                },
            });
        }
    }
}
