//! Transfers on the card: whom the peer is to call instead, how that goes, and what the peer wants of us.

use egui::{Align, Frame, Key, Margin, Modifiers, Role, Sense, Ui, WidgetInfo};
use model::{CallView, Command, Transfer, TransferState};

use super::super::{Bar, Kit};
use super::announce;
use crate::view_state::{Data, wanted_transfer};
use crate::widgets::{Button, Field, Kind, caption, icon_in, paragraph, text_in};
use crate::window::{TransferForm, Window};
use crate::{icons, strings};

/// The field that takes whom the peer is to call.
pub(crate) fn target_id() -> egui::Id {
    egui::Id::unique("transfer target")
}

/// Opens the form for this call, or puts it away.
pub(crate) fn toggle(window: &mut Window, call: &CallView) {
    let open = window.transfer.as_ref().is_some_and(|f| f.call == call.id);
    window.transfer = (!open).then(|| TransferForm::of(call.id));
}

/// Whether the peer can be asked now: it is there, and is not busy with the last asking.
pub(crate) fn is_possible(call: &CallView) -> bool {
    let underway = matches!(
        &call.transfer,
        Some(Transfer::Ours {
            state: TransferState::Asked | TransferState::Trying,
            ..
        })
    );
    call.state.is_up() && !underway
}

/// Everything about transfers of this call.
pub(super) fn show(
    ui: &mut Ui,
    kit: &mut Kit<'_>,
    data: &Data,
    window: &mut Window,
    call: &CallView,
) {
    if let Some((target, by)) = wanted_transfer(call) {
        ui.add_space(12.0);
        wanted(ui, kit, call, target, by);
    } else if let Some(transfer) = &call.transfer {
        ui.add_space(10.0);
        progress(ui, kit, transfer);
    }
    if window.transfer.as_ref().is_some_and(|f| f.call == call.id) && is_possible(call) {
        ui.add_space(12.0);
        form(ui, kit, data, window, call);
    }
}

/// The peer asks us to call somebody else: nothing happens until the user has decided.
fn wanted(
    ui: &mut Ui,
    kit: &mut Kit<'_>,
    call: &CallView,
    target: &model::Party,
    by: Option<&model::Party>,
) {
    let t = kit.t.clone();
    let by = by.unwrap_or(&call.remote);
    inset(ui, kit, |ui, kit| {
        let words = strings::transfer_wanted(by.title(), target.title());
        let response = paragraph(ui, &words, t.body(), t.text);
        response.widget_info(|| WidgetInfo::labeled(Role::Alert, true, &words));
        announce(ui, response.id, true);
        let address = super::super::dial::short_target(target.uri.reveal());
        if address != target.title() {
            let mut bar = Bar::new(ui, t.px(18.0), 8.0);
            let place = bar.left(bar.rest().width());
            text_in(ui.painter(), place, address, t.small(), t.muted, Align::Min);
        }
        ui.add_space(10.0);
        let mut bar = Bar::new(ui, t.px(32.0), 8.0);
        let follow = strings::call_party(target.title());
        let room = bar.rest().width();
        let stay = Button::new(Kind::Quiet, strings::STAY_HERE).height(32.0);
        let stay_width = stay.measure(ui, &t);
        let accept = Button::new(Kind::Primary, &follow)
            .icon(icons::PHONE_TRANSFER)
            .height(32.0);
        let width = accept.measure(ui, &t).min(room - stay_width - 8.0);
        if bar.button_left(ui, &t, accept.width(width)).clicked() {
            kit.send(Command::AnswerTransfer {
                call: call.id,
                accept: true,
            });
        }
        if bar.button_left(ui, &t, stay).clicked() {
            kit.send(Command::AnswerTransfer {
                call: call.id,
                accept: false,
            });
        }
    });
}

/// How a transfer goes, in one line.
fn progress(ui: &mut Ui, kit: &Kit<'_>, transfer: &Transfer) {
    let t = &kit.t;
    let words = strings::transfer_progress(transfer);
    let (icon, ink) = match transfer {
        Transfer::Ours {
            state: TransferState::Done,
            ..
        } => (icons::CHECK_CIRCLE, t.good),
        Transfer::Ours {
            state: TransferState::Failed,
            ..
        } => (icons::WARNING_CIRCLE, t.bad),
        _ => (icons::PHONE_TRANSFER, t.accent),
    };
    let mut bar = Bar::new(ui, t.px(20.0), 8.0);
    let mark = bar.left(t.px(16.0));
    icon_in(ui.painter(), mark, icon, t.icon(16.0), ink);
    let place = bar.rest();
    let cut = text_in(ui.painter(), place, &words, t.body(), t.text, Align::Min);
    let response = ui.interact(place, ui.scope_id().with("transfer"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Status, true, &words));
    announce(ui, response.id, false);
    if cut {
        response.on_hover_text(words);
    }
}

/// A number to send the peer to, and the other calls that it can be connected with.
fn form(ui: &mut Ui, kit: &mut Kit<'_>, data: &Data, window: &mut Window, call: &CallView) {
    let t = kit.t.clone();
    let Some(mut form) = window.transfer.take() else {
        return;
    };
    let mut keep = true;
    inset(ui, kit, |ui, kit| {
        let mut bar = Bar::new(ui, t.px(24.0), 8.0);
        let close = Button::icon_only(Kind::Ghost, icons::X, strings::CLOSE).height(24.0);
        keep &= !bar.button_right(ui, &t, close.tip("Esc")).clicked();
        let words = strings::transfer_of(call.remote.title());
        let place = bar.rest();
        text_in(ui.painter(), place, &words, t.strong(), t.text, Align::Min);
        let response = ui.interact(place, ui.scope_id().with("heading"), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, &words));
        ui.add_space(6.0);

        let mut bar = Bar::new(ui, t.px(32.0), 8.0);
        let typed = !form.target.trim().is_empty();
        let send = Button::new(Kind::Primary, strings::TRANSFER)
            .icon(icons::PHONE_TRANSFER)
            .height(32.0)
            .enabled(typed);
        let place = bar.right(send.measure(ui, &t));
        let field = Field::new(&mut form.target, strings::TRANSFER_TO)
            .id(target_id())
            .hint(strings::NUMBER_HINT)
            .height(32.0)
            .show_in(ui, &t, bar.rest());
        if std::mem::take(&mut form.wants_focus) {
            field.request_focus();
        }
        let entered = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
        let pressed = send.show_in(ui, &t, place).clicked();
        if (entered || pressed) && typed {
            kit.send(Command::TransferCall {
                call: call.id,
                target: form.target.trim().into(),
            });
            keep = false;
        }
        let others: Vec<&CallView> = data
            .calls
            .iter()
            .filter(|c| c.id != call.id && c.tenant == call.tenant && c.state.is_up())
            .collect();
        if !others.is_empty() {
            ui.add_space(12.0);
            caption(ui, &t, strings::OR_CONNECT);
            for other in others {
                ui.add_space(6.0);
                let mut bar = Bar::new(ui, t.px(32.0), 8.0);
                let words = strings::connect_with(other.remote.title());
                let width = bar.rest().width();
                let button = Button::new(Kind::Quiet, &words)
                    .icon(icons::ARROWS_MERGE)
                    .height(32.0)
                    .tip(strings::CONNECT_TIP);
                let width = button.measure(ui, &t).min(width);
                if bar.button_left(ui, &t, button.width(width)).clicked() {
                    kit.send(Command::ConnectCalls {
                        call: call.id,
                        other: other.id,
                    });
                    keep = false;
                }
            }
        }
        keep &= !ui.input_mut(|i| i.consume_key(Modifiers::NONE, Key::Escape));
    });
    if keep {
        window.transfer = Some(form);
    }
}

/// A part of the card that asks something.
pub(super) fn inset(ui: &mut Ui, kit: &mut Kit<'_>, add: impl FnOnce(&mut Ui, &mut Kit<'_>)) {
    Frame::NONE
        .fill(kit.t.panel)
        .corner_radius(8)
        .inner_margin(Margin::symmetric(12, 10))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing.y = 0.0;
            add(ui, kit);
        });
}
