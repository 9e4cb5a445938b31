//! Which way the sound of a call flows: asked for with a call, and changed within it.

use egui::{
    Align, Popup, PopupCloseBehavior, PopupKind, Rect, Response, SetOpenCommand, Ui, UiBuilder,
    Vec2,
};
use model::{CallState, CallView, Command, MediaDirection};

use super::super::{Bar, Kit};
use crate::strings;
use crate::theme::Theme;
use crate::widgets::{menu_frame, menu_row, select, text_in};

/// All ways, in the order of [`strings::WAYS_OF_SOUND`].
const WAYS: [MediaDirection; 4] = [
    MediaDirection::Both,
    MediaDirection::SendOnly,
    MediaDirection::ReceiveOnly,
    MediaDirection::Inactive,
];

/// The menu of a button that begins a call: with the other button of the pointer, or when a key asks for it.
/// Answers with what was chosen.
pub(crate) fn menu(button: &Response, t: &Theme, asked: bool) -> Option<MediaDirection> {
    let opens = asked || button.secondary_clicked();
    let mut picked = None;
    Popup::from_response(button)
        .kind(PopupKind::Menu)
        .open_memory(opens.then_some(SetOpenCommand::Bool(true)))
        .close_behavior(PopupCloseBehavior::CloseOnClick)
        .frame(menu_frame(t))
        .gap(4.0)
        .width(t.px(180.0))
        .accessible_name(strings::SOUND_FLOWS)
        .show(|ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            for (way, words) in WAYS.iter().zip(strings::WAYS_OF_SOUND) {
                let row = menu_row(ui, t, words, *way == MediaDirection::Both);
                if asked && *way == MediaDirection::Both {
                    row.request_focus();
                }
                if row.clicked() {
                    picked = Some(*way);
                }
            }
        });
    picked
}

/// Which way it flows in a call that is up, to be changed.
pub(super) fn row(ui: &mut Ui, kit: &mut Kit<'_>, call: &CallView) {
    // On hold it stands still whatever is wanted.
    if call.state != CallState::Connected {
        return;
    }
    let t = kit.t.clone();
    ui.add_space(4.0);
    let mut bar = Bar::new(ui, t.control(), 8.0);
    let name = bar.left((bar.rest().width() * 0.45).min(t.px(148.0)));
    let words = strings::SOUND_FLOWS;
    text_in(ui.painter(), name, words, t.small(), t.muted, Align::Min);
    let place = bar.rest();
    let place = Rect::from_min_size(
        place.min,
        Vec2::new(place.width().min(t.px(180.0)), place.height()),
    );
    let mut inner = ui.new_child(UiBuilder::new().id_salt("direction").max_rect(place));
    let flows = call.details.media;
    let chosen = WAYS.iter().position(|way| *way == flows).unwrap_or(0);
    let options = strings::WAYS_OF_SOUND.map(str::to_owned);
    let (_, picked) = select(&mut inner, &t, words, &options, chosen);
    if let Some(direction) = picked.and_then(|at| WAYS.get(at)) {
        kit.send(Command::SetDirection {
            call: call.id,
            direction: *direction,
        });
    }
}
