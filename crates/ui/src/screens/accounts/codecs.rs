//! The codecs of an account: which are on, and in which order they are offered.

use egui::{Align, Rect, Role, Sense, Ui, Vec2, WidgetInfo};

use super::super::Bar;
use crate::account_form::CODECS;
use crate::theme::Theme;
use crate::widgets::{Button, Kind, form_row, switch, text_in};
use crate::{icons, strings};

/// What a codec is called, and what it is good for.
fn words(codec: &str) -> (&str, &'static str) {
    match codec {
        "opus" => ("Opus", "Wide band, bears losses"),
        "g722" => ("G.722", "Wide band"),
        "pcmu" => ("G.711 µ-law", "Telephone band, Americas and Japan"),
        "pcma" => ("G.711 A-law", "Telephone band, elsewhere"),
        other => (other, ""),
    }
}

/// Those that are on, best first, and below them the others.
pub(super) fn show(ui: &mut Ui, t: &Theme, chosen: &mut Vec<String>, wrong: Option<&str>) {
    let off = CODECS.iter().filter(|c| !chosen.iter().any(|o| o == *c));
    let all: Vec<String> = chosen
        .iter()
        .cloned()
        .chain(off.map(|c| (*c).to_owned()))
        .collect();
    let on = chosen.len();
    let mut toggled = None;
    let mut moved = None;
    form_row(
        ui,
        t,
        strings::settings::CODECS,
        Some(strings::settings::CODECS_HELP),
        wrong,
        |ui| {
            let height = t.px(34.0);
            let size = Vec2::new(ui.available_width(), height * all.len() as f32);
            let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
            ui.painter().rect_filled(rect, 6.0, t.raised);
            for (at, codec) in all.iter().enumerate() {
                let top = rect.top() + height * at as f32;
                let row = Rect::from_min_size(
                    egui::pos2(rect.left(), top),
                    Vec2::new(rect.width(), height),
                );
                if at > 0 {
                    ui.painter().hline(
                        row.shrink2(Vec2::new(10.0, 0.0)).x_range(),
                        top.round() + 0.5,
                        egui::Stroke::new(1.0, t.line),
                    );
                }
                let mut bar = Bar::over(row.shrink2(Vec2::new(10.0, 0.0)), 2.0);
                let (name, good_for) = words(codec);
                let down = strings::move_down(name);
                let up = strings::move_up(name);
                for (by, icon, words, can) in [
                    (1, icons::ARROW_DOWN, &down, at + 1 < on),
                    (-1, icons::ARROW_UP, &up, at > 0 && at < on),
                ] {
                    let button = Button::icon_only(Kind::Ghost, icon, words)
                        .height(26.0)
                        .enabled(can);
                    if bar.button_right(ui, t, button).clicked() {
                        moved = Some((at, at.saturating_add_signed(by)));
                    }
                }
                let place = bar.left(t.px(168.0));
                let mut inner = ui.new_child(
                    egui::UiBuilder::new()
                        .id_salt(("codec", codec))
                        .max_rect(place.shrink2(Vec2::new(0.0, (height - t.control()) / 2.0))),
                );
                let mut is_on = at < on;
                if switch(&mut inner, t, name, &mut is_on).changed() {
                    toggled = Some(codec.clone());
                }
                text_in(
                    ui.painter(),
                    bar.rest(),
                    good_for,
                    t.small(),
                    t.faint,
                    Align::Min,
                );
            }
            response
                .widget_info(|| WidgetInfo::labeled(Role::Group, true, strings::settings::CODECS));
            response
        },
    );
    if let Some((from, to)) = moved
        && from < on
        && to < on
    {
        chosen.swap(from, to);
    }
    if let Some(codec) = toggled {
        match chosen.iter().position(|c| *c == codec) {
            Some(at) => drop(chosen.remove(at)),
            None => chosen.push(codec),
        }
    }
}
