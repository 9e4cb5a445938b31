//! The first run: two fields, one button.

use egui::{Frame, Key, Margin, Rect, ScrollArea, Sense, Ui, Vec2};

use super::{Bar, Kit, accounts};
use crate::Action;
use crate::account_form::AccountForm;
use crate::widgets::{Button, Kind, heading, icon_in, paragraph};
use crate::window::{FocusWish, Window};
use crate::{icons, strings};

pub(crate) fn show(ui: &mut Ui, whole: Rect, kit: &mut Kit<'_>, window: &mut Window) {
    let t = kit.t.clone();
    ui.painter().rect_filled(whole, 0.0, t.panel);
    if window.first.settings.codecs.is_empty() && window.first.address.is_empty() {
        window.first = AccountForm::new(None);
    }
    let width = t.px(360.0).min(whole.width() - 40.0);
    let column = Rect::from_center_size(whole.center(), Vec2::new(width, whole.height()));
    let mut inner = super::part(ui, column.expand2(Vec2::new(12.0, 0.0)), "first run");
    ScrollArea::vertical()
        .auto_shrink(false)
        .show(&mut inner, |ui| {
            Frame::NONE
                .inner_margin(Margin::symmetric(12, 0))
                .show(ui, |ui| {
                    ui.set_width(width);
                    let form_height = if window.first.advanced { 780.0 } else { 430.0 };
                    let room = (whole.height() - t.px(form_height)) * 0.42;
                    ui.add_space(room.max(24.0).round());
                    form(ui, kit, window);
                });
        });
}

fn form(ui: &mut Ui, kit: &mut Kit<'_>, window: &mut Window) {
    let t = kit.t.clone();
    ui.spacing_mut().item_spacing.y = 4.0;
    let (place, _) = ui.allocate_exact_size(Vec2::splat(t.px(44.0)), Sense::hover());
    ui.painter().rect_filled(place, 12.0, t.accent_fill);
    icon_in(
        ui.painter(),
        place,
        icons::PHONE_CALL,
        t.icon_fill(24.0),
        t.on_accent,
    );
    ui.add_space(16.0);
    heading(ui, &t, strings::WELCOME);
    paragraph(ui, strings::WELCOME_TEXT, t.body(), t.muted);
    ui.add_space(20.0);
    ui.spacing_mut().item_spacing.y = 12.0;
    let faults = window.first.settle();
    // Whoever starts to type means the address.
    if window.first.address.is_empty() && ui.memory(|m| m.focused().is_none()) {
        window.focus = Some(FocusWish::Form);
    }
    let last = accounts::essential(ui, &t, &mut window.first, &faults, window.focus.take());
    let entered = last.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
    let advanced = window.first.advanced;
    let mut bar = Bar::new(ui, t.px(24.0), 0.0);
    let fold = Button::new(Kind::Ghost, strings::ADVANCED)
        .icon(if advanced {
            icons::CARET_DOWN
        } else {
            icons::CARET_RIGHT
        })
        .small();
    bar.outdent(8.0);
    if bar.button_left(ui, &t, fold).clicked() {
        window.first.advanced = !advanced;
    }
    if advanced {
        accounts::advanced(ui, &t, &mut window.first, &faults);
    }
    ui.add_space(4.0);
    let width = ui.available_width();
    let connect = Button::new(Kind::Primary, strings::CONNECT)
        .height(40.0)
        .width(width);
    if connect.show(ui, &t).clicked() || entered {
        window.first.point_at(&faults);
        if let Some(command) = window.first.command() {
            kit.send(command);
            window.first = AccountForm::new(None);
        } else if faults.address.is_some() {
            window.focus = Some(FocusWish::Form);
        }
    }
    let demo = Button::new(Kind::Quiet, strings::TRY_DEMO)
        .height(40.0)
        .width(width)
        .tip(strings::TRY_DEMO_TEXT);
    if demo.show(ui, &t).clicked() {
        kit.act(Action::StartDemo);
    }
    ui.add_space(24.0);
}
