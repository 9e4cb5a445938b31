//! The live trace.

use egui::{Rect, Ui};
use model::AccountId;

use super::Kit;
use crate::view_state::Data;
use crate::window::Window;

/// What the person looks at in the trace.
#[derive(Default)]
pub struct TraceWindow {
    /// What stands in the filter field.
    pub filter: String,
}

impl TraceWindow {
    pub(crate) fn look_at_call(&mut self, sip_call_id: &str) {
        self.filter = format!("call-id {sip_call_id}");
    }

    pub(crate) fn look_at_account(&mut self, account: &AccountId) {
        self.filter = format!("account {account}");
    }
}

pub(crate) fn show(
    _ui: &mut Ui,
    _rect: Rect,
    _kit: &mut Kit<'_>,
    _data: &Data,
    _window: &mut Window,
) {
}
