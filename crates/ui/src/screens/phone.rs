//! The phone: number field, calls, what was called lately, and the dial pad.

use egui::{Align, Rect, ScrollArea, Ui, Vec2, pos2};

use super::{Bar, Kit, Room, call_card, dial, history, part};
use crate::view_state::Data;
use crate::widgets::{Button, Kind, caption, empty, text_in};
use crate::window::Window;
use crate::{icons, strings};

pub(crate) fn show(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    if kit.room == Room::Compact {
        compact(ui, rect, kit, data, window);
        return;
    }
    let inner = rect.shrink2(Vec2::new(24.0, 20.0));
    let mut top = part(
        ui,
        Rect::from_min_max(
            inner.min - Vec2::splat(3.0),
            pos2(inner.right() + 3.0, inner.top() + t.px(40.0) + 3.0),
        ),
        "dial bar",
    );
    top.set_max_width(inner.width());
    let mut dial_ui = part(
        &mut top,
        Rect::from_min_size(inner.min, Vec2::new(inner.width(), t.px(40.0))),
        "dial",
    );
    dial_ui.set_clip_rect(rect);
    dial::bar(&mut dial_ui, kit, data, window);
    let line = Rect::from_min_size(
        pos2(inner.left(), inner.top() + t.px(40.0) + 6.0),
        Vec2::new(inner.width(), t.px(18.0)),
    );
    let lacks = dial::missing(data, window).is_some();
    dial::missing_line(&mut part(ui, line, "missing"), line, kit, data, window);
    let lower = if lacks { t.px(18.0) } else { 0.0 };

    let below = Rect::from_min_max(
        pos2(inner.left(), inner.top() + t.px(40.0) + 20.0 + lower),
        inner.max,
    );
    let pad_width = t.px(208.0);
    let (left, right) = below.split_left_right_at_x(below.right() - pad_width - 24.0);
    let right = Rect::from_min_max(pos2(right.left() + 24.0, right.top()), right.max);

    // The scroll bar has its place in the gutter, and focus rings and hovered rows may reach into it.
    let with_gutter = Rect::from_min_max(
        left.min - Vec2::new(16.0, 0.0),
        left.max + Vec2::new(16.0, 0.0),
    );
    let mut calls = part(ui, with_gutter, "calls");
    calls_and_recent(&mut calls, left, kit, data, window);

    let current = window.current_call(data).and_then(|id| data.call(id));
    let mut side = part(ui, right.expand(2.0), "pad");
    let (heading, rest) = right.split_top_bottom_at_y(right.top() + t.px(24.0));
    pad_heading(&mut side, heading, kit, current, window);
    let height = t.px(4.0 * 48.0) + 3.0 * 8.0;
    let keys = Rect::from_min_size(
        pos2(rest.left(), rest.top() + 8.0),
        Vec2::new(rest.width(), height.min(rest.height() - 8.0)),
    );
    dial::pad(&mut side, keys, kit, current, window);
}

fn pad_heading(
    ui: &mut Ui,
    rect: Rect,
    kit: &Kit<'_>,
    current: Option<&model::CallView>,
    window: &mut Window,
) {
    let t = &kit.t;
    let mut bar = Bar::over(rect, 8.0);
    let up = current.filter(|c| c.state.is_up());
    if up.is_none()
        && !window.dial.is_empty()
        && bar.button_right(ui, t, dial::erase_button()).clicked()
    {
        window.dial.pop();
    }
    let words = up.map_or_else(
        || strings::DIAL_PAD.to_owned(),
        |c| strings::tones_to(c.remote.title()),
    );
    text_in(
        ui.painter(),
        bar.rest(),
        &words,
        t.small_strong(),
        t.faint,
        Align::Min,
    );
}

fn calls_and_recent(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    if data.calls.is_empty() && data.history.is_empty() {
        let t = kit.t.clone();
        let first = window.suggestions.first().cloned();
        let button = first.as_ref().map(|s| {
            Button::new(Kind::Answer, &s.words)
                .icon(icons::PHONE)
                .filled()
                .height(36.0)
        });
        let pressed = empty(
            ui,
            &t,
            icons::PHONE_CALL,
            strings::NO_CALLS,
            match first {
                Some(_) => strings::NO_CALLS_DEMO,
                None => strings::NO_CALLS_TEXT,
            },
            button,
        );
        if let Some(suggestion) = first
            && pressed.is_some_and(|r| r.clicked())
        {
            dial::place(kit, window, &suggestion.target);
        }
        return;
    }
    ScrollArea::vertical()
        .id_salt("calls")
        .auto_shrink(false)
        .show(ui, |ui| {
            let column = Rect::from_min_size(
                pos2(rect.left(), ui.max_rect().top()),
                Vec2::new(rect.width(), f32::INFINITY),
            );
            let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(column));
            let ui = &mut ui;
            ui.spacing_mut().item_spacing.y = 8.0;
            if !data.calls.is_empty() {
                call_card::all(ui, kit, data, window);
                ui.add_space(12.0);
            }
            let ours =
                |h: &model::HistoryEntry| window.tenant.as_ref().is_none_or(|t| *t == h.tenant);
            suggestions(ui, kit, window);
            if data.history.iter().any(ours) {
                let t = kit.t.clone();
                ui.horizontal(|ui| {
                    ui.set_height(t.px(24.0));
                    caption(ui, &t, strings::RECENT);
                });
                ui.spacing_mut().item_spacing.y = 0.0;
                history::recent(ui, kit, data, window, 8);
            }
        });
}

/// Numbers that can be tried with one click, where there are some.
fn suggestions(ui: &mut Ui, kit: &mut Kit<'_>, window: &Window) {
    let t = kit.t.clone();
    if window.suggestions.is_empty() {
        return;
    }
    caption(ui, &t, strings::TEST_NUMBERS);
    let mut picked = None;
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = Vec2::splat(8.0);
        for suggestion in &window.suggestions {
            let button = Button::new(Kind::Quiet, &suggestion.words)
                .icon(icons::PHONE)
                .tip(suggestion.target.as_str());
            if button.show(ui, &t).clicked() {
                picked = Some(suggestion.target.clone());
            }
        }
    });
    ui.add_space(12.0);
    if let Some(target) = picked {
        dial::place(kit, window, &target);
    }
}

fn compact(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    ScrollArea::vertical()
        .id_salt("phone")
        .auto_shrink(false)
        .show(ui, |ui| {
            egui::Frame::NONE
                .inner_margin(egui::Margin::same(12))
                .show(ui, |ui| {
                    ui.spacing_mut().item_spacing.y = 8.0;
                    if !data.calls.is_empty() {
                        call_card::all(ui, kit, data, window);
                    }
                    let current = window.current_call(data).and_then(|id| data.call(id));
                    let live = current.is_some_and(|c| c.state.is_live());
                    if live && !window.keypad {
                        // The number field stays for a second call, the pad makes room.
                        dial::bar(ui, kit, data, window);
                        return;
                    }
                    if !live {
                        dial::bar(ui, kit, data, window);
                        if dial::missing(data, window).is_some() {
                            let line = Bar::new(ui, t.px(18.0), 0.0).rest();
                            dial::missing_line(ui, line, kit, data, window);
                        }
                        ui.add_space(4.0);
                    }
                    let used = ui.cursor().top() - rect.top();
                    let room = (rect.height() - used - 16.0).clamp(t.px(160.0), t.px(260.0));
                    let (place, _) = ui.allocate_exact_size(
                        Vec2::new(ui.available_width(), room),
                        egui::Sense::hover(),
                    );
                    dial::pad(ui, place, kit, current, window);
                    if !live {
                        suggestions(ui, kit, window);
                    }
                    if !live && !data.history.is_empty() {
                        ui.add_space(4.0);
                        caption(ui, &t, strings::RECENT);
                        ui.spacing_mut().item_spacing.y = 0.0;
                        history::recent(ui, kit, data, window, 5);
                    }
                });
        });
}
