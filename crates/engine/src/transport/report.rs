//! What is told of it all: to the flight recorder, and by counting.

use std::sync::Arc;

use model::{AccountId, CallId, Timestamp};
use sip_core::Path;

use super::{Counters, TransportState};
use crate::recorder::{RecorderMsg, Wire};

impl TransportState {
    pub(super) fn note(&self, text: String) {
        self.args.recorder.cast(RecorderMsg::Note {
            time: crate::wall(),
            topic: "transport",
            text,
            account: None,
            call: None,
            sip_call_id: None,
        });
    }

    /// Counts what went by, and says so at 1, 2, 4, 8 …: a flood must not fill the record.
    pub(super) fn count(
        &mut self,
        time: Timestamp,
        what: &str,
        counter: impl FnOnce(&mut Counters) -> &mut u64,
    ) {
        let counter = counter(&mut self.counters);
        *counter += 1;
        let count = *counter;
        if count.is_power_of_two() {
            self.args.recorder.cast(RecorderMsg::Note {
                time,
                topic: "transport",
                text: format!("{count} so far: {what}"),
                account: None,
                call: None,
                sip_call_id: None,
            });
        }
    }

    pub(super) fn record(
        &self,
        time: Timestamp,
        sent: bool,
        path: Path,
        bytes: &[u8],
        account: Option<AccountId>,
        call: Option<CallId>,
    ) {
        self.args.recorder.cast(RecorderMsg::Wire(Wire {
            time,
            sent,
            path,
            bytes: Arc::from(bytes),
            account,
            call,
        }));
    }
}
