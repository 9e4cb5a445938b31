//! The bar above the list: the filter, what it leaves out, and the pause.

use egui::{Align, Rect, Role, Sense, Ui, Vec2, WidgetInfo};

use super::super::{Bar, Kit, Room};
use super::keys::{filter_id, toggle_pause};
use crate::format;
use crate::view_state::Data;
use crate::widgets::{Button, Field, Kind, text_in};
use crate::window::{FocusWish, Window};
use crate::{icons, strings};

pub(super) fn show(ui: &mut Ui, kit: &Kit<'_>, data: &Data, window: &mut Window) {
    let t = &kit.t;
    let compact = kit.room == Room::Compact;
    let mut bar = Bar::new(ui, t.px(48.0), 8.0);
    bar.left(4.0);
    bar.right(4.0);
    let paused = window.trace.paused.is_some();
    let (icon, words) = if paused {
        (icons::PLAY, strings::GO_ON)
    } else {
        (icons::PAUSE, strings::PAUSE)
    };
    let button = if compact {
        Button::icon_only(Kind::Quiet, icon, words)
    } else {
        Button::new(Kind::Quiet, words).icon(icon)
    };
    if bar
        .button_right(ui, t, button.on(paused).tip(format!("{words}  p")))
        .clicked()
    {
        toggle_pause(data, window);
    }
    let hidden = window.trace.listed.selection.hidden_noise();
    if !compact && (hidden > 0 || window.trace.noise) {
        let words = if window.trace.noise {
            strings::HIDE_NOISE.to_owned()
        } else {
            strings::noise_hidden(&format::count(hidden))
        };
        let icon = if window.trace.noise {
            icons::EYE
        } else {
            icons::EYE_SLASH
        };
        let button = Button::new(Kind::Ghost, &words)
            .icon(icon)
            .tip(strings::NOISE_TIP);
        if bar.button_right(ui, t, button).clicked() {
            window.trace.noise = !window.trace.noise;
        }
    }
    narrowed(ui, kit, data, window, &mut bar);
    let width = bar.rest().width().min(t.px(420.0));
    let place = bar.left(width);
    let place = Rect::from_center_size(place.center(), Vec2::new(place.width(), t.control()));
    let field = Field::new(&mut window.trace.filter, strings::FILTER_TRACE)
        .id(filter_id())
        .hint(strings::FILTER_TRACE_HINT)
        .icon(icons::FUNNEL)
        .wrong(window.trace.listed.wrong.is_some())
        .show_in(ui, t, place);
    if window.focus == Some(FocusWish::Filter) {
        window.focus = None;
        field.request_focus();
    }
    if let Some(wrong) = &window.trace.listed.wrong {
        let words = wrong.to_string();
        text_in(
            ui.painter(),
            bar.rest(),
            &words,
            t.small(),
            t.bad,
            Align::Min,
        );
        let response = ui.interact(
            bar.rest(),
            ui.scope_id().with("wrong filter"),
            Sense::hover(),
        );
        response.widget_info(|| WidgetInfo::labeled(Role::Alert, true, &words));
        response.on_hover_text(&words);
    } else if !compact {
        let words = strings::messages(
            &format::count(window.trace.shown().len()),
            data.trace.has_older(),
        );
        text_in(
            ui.painter(),
            bar.rest(),
            &words,
            t.small(),
            t.faint,
            Align::Min,
        );
    }
}

/// The chip that says that only one call or one account is listed, with the way back.
fn narrowed(ui: &mut Ui, kit: &Kit<'_>, data: &Data, window: &mut Window, bar: &mut Bar) {
    let t = &kit.t;
    let words = if window.trace.call.is_some() {
        strings::ONE_CALL.to_owned()
    } else if let Some(account) = &window.trace.account {
        data.account(account).map_or("", |a| a.title()).to_owned()
    } else {
        return;
    };
    let button = Button::new(Kind::Quiet, &words)
        .icon(icons::X)
        .on(true)
        .outlined()
        .name(strings::BACK_TO_ALL)
        .tip(format!("{}  Esc", strings::BACK_TO_ALL));
    if bar.button_left(ui, t, button).clicked() {
        window.trace.call = None;
        window.trace.account = None;
    }
}
