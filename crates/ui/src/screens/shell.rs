//! The shell: rail, account list, tabs, the screen, the status bar, and what lies above them.

use egui::{Align, Color32, Rect, Role, Sense, Stroke, Ui, Vec2, WidgetInfo, pos2};
use model::RegistrationState;

use super::{Bar, Kit, Room, account_list, accounts, call_card, first_run, history, keys};
use super::{messages, overlay, part, phone, settings, snap, trace};
use crate::format;
use crate::view_state::{Data, Phase, ViewState, is_failing};
use crate::widgets::{Button, Kind, badge, empty, icon_in, registration_mark, text_in};
use crate::window::{FocusWish, Screen, Window};
use crate::{Action, Live, icons, shortcuts, strings, theme};

/// Draws the window and answers with what the person asked for.
pub fn show(ui: &mut Ui, state: &mut ViewState, live: &Live<'_>) -> Vec<Action> {
    let theme = theme::current(ui, &state.data.preferences);
    let whole = ui.max_rect();
    let room = match whole.width() / theme.scale {
        w if w >= 900.0 => Room::Wide,
        w if w >= 620.0 => Room::Medium,
        _ => Room::Compact,
    };
    let mut kit = Kit {
        t: theme,
        live,
        room,
        offset_s: state.utc_offset_s,
        actions: Vec::new(),
    };
    let ViewState { data, window, .. } = state;
    data.trace.settle(live.now);
    ui.spacing_mut().item_spacing = Vec2::splat(8.0);
    ui.painter().rect_filled(whole, 0.0, kit.t.canvas);

    keys::act(ui, &mut kit, data, window);
    keys::take_what_is_dropped(ui, &mut kit, data, window);
    // Whoever looks at something else has tried enough.
    if window.screen != Screen::Settings && std::mem::take(&mut window.tries_sound) {
        kit.send(model::Command::TestSound {
            on: false,
            with: model::SoundTest::Ring,
        });
    }
    let before = window.focus;
    match data.phase {
        Phase::Starting => {
            let mut ui = part(ui, whole.shrink(24.0), "starting");
            let icon = icons::HOURGLASS;
            empty(
                &mut ui,
                &kit.t,
                icon,
                strings::STARTING,
                strings::STARTING_TEXT,
                None,
            );
        }
        Phase::Running if data.is_first_run() && window.form.is_none() => {
            first_run::show(ui, whole, &mut kit, window);
        }
        Phase::Running | Phase::Stopped => frame(ui, whole, &mut kit, data, window),
    }
    overlay::show(ui, whole, &mut kit, data, window);
    // A screen without a filter leaves the wish for one unfulfilled; it must not surprise the next one.
    if window.focus == Some(FocusWish::Filter) && before == Some(FocusWish::Filter) {
        window.focus = None;
    }
    kit.actions
}

fn frame(ui: &mut Ui, whole: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    let status_height = t.px(28.0);
    let (body, status) = whole.split_top_bottom_at_y(whole.bottom() - status_height);
    let mut main = body;
    if kit.room >= Room::Medium {
        let (rail_rect, rest) = body.split_left_right_at_x(body.left() + t.px(48.0));
        rail(
            &mut part(ui, rail_rect, "rail"),
            rail_rect,
            kit,
            data,
            window,
        );
        main = rest;
    }
    let with_list = matches!(window.screen, Screen::Phone | Screen::Accounts);
    if kit.room == Room::Wide && with_list {
        let (list, rest) = main.split_left_right_at_x(main.left() + t.px(256.0));
        let mut ui = part(ui, list, "accounts");
        account_list::show(&mut ui, list, kit, data, window);
        main = rest;
    }
    if kit.room >= Room::Medium {
        ui.painter().rect_filled(main, 0.0, t.panel);
        ui.painter()
            .vline(main.left() + 0.5, main.y_range(), Stroke::new(1.0, t.line));
    } else {
        ui.painter().rect_filled(main, 0.0, t.panel);
    }
    let (tabs_rect, mut screen) = main.split_top_bottom_at_y(main.top() + t.px(44.0));
    tabs(
        &mut part(ui, tabs_rect, "tabs"),
        tabs_rect,
        kit,
        data,
        window,
    );
    ui.painter().hline(
        tabs_rect.x_range(),
        tabs_rect.bottom() - 0.5,
        Stroke::new(1.0, t.line),
    );
    if data.phase == Phase::Stopped {
        let (banner, rest) = screen.split_top_bottom_at_y(screen.top() + t.px(44.0));
        stopped(&mut part(ui, banner, "stopped"), banner, kit);
        screen = rest;
    }
    if window.screen != Screen::Phone && data.calls.iter().any(|c| c.state.is_live()) {
        let (strip, rest) = screen.split_top_bottom_at_y(screen.top() + t.px(48.0));
        call_card::strip(&mut part(ui, strip, "call strip"), strip, kit, data, window);
        screen = rest;
    }
    let mut inner = part(ui, screen, window.screen);
    match window.screen {
        Screen::Phone => phone::show(&mut inner, screen, kit, data, window),
        Screen::History => history::show(&mut inner, screen, kit, data, window),
        Screen::Messages => messages::show(&mut inner, screen, kit, data, window),
        Screen::Trace => trace::show(&mut inner, screen, kit, data, window),
        Screen::Accounts => accounts::show(&mut inner, screen, kit, data, window),
        Screen::Settings => settings::show(&mut inner, screen, kit, data, window),
    }
    status_bar(&mut part(ui, status, "status"), status, kit, data, window);
}

fn stopped(ui: &mut Ui, rect: Rect, kit: &Kit<'_>) {
    let t = &kit.t;
    ui.painter().rect_filled(rect, 0.0, t.bad_ground);
    let mut bar = Bar::over(rect.shrink2(Vec2::new(16.0, 0.0)), 8.0);
    let icon = bar.left(t.px(16.0));
    icon_in(
        ui.painter(),
        icon,
        icons::WARNING_CIRCLE,
        t.icon_fill(16.0),
        t.bad,
    );
    let words = format!("{}. {}", strings::STOPPED, strings::STOPPED_TEXT);
    let place = bar.rest();
    text_in(ui.painter(), place, &words, t.body(), t.text, Align::Min);
    let response = ui.interact(place, ui.scope_id().with("stopped"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Alert, true, &words));
}

/// Two letters that stand for a name.
fn initials(name: &str) -> String {
    // Numbered customers differ in their number alone.
    let digits: String = name
        .split(|c: char| !c.is_ascii_digit())
        .rfind(|group| !group.is_empty())
        .map_or_else(String::new, |group| group.chars().take(3).collect());
    if !digits.is_empty() {
        return digits;
    }
    let mut words = name.split_whitespace().filter_map(|w| w.chars().next());
    match (words.next(), words.next()) {
        (Some(a), Some(b)) => a.to_uppercase().chain(b.to_uppercase()).collect(),
        _ => {
            let mut letters = name.trim().chars();
            letters
                .next()
                .map(|a| a.to_uppercase().chain(letters.next()).collect())
                .unwrap_or_default()
        }
    }
}

fn rail(ui: &mut Ui, rect: Rect, kit: &Kit<'_>, data: &Data, window: &mut Window) {
    let mut scroll = part(ui, rect, "rail list");
    egui::ScrollArea::vertical()
        .scroll_bar_visibility(egui::scroll_area::ScrollBarVisibility::AlwaysHidden)
        .auto_shrink(false)
        .show(&mut scroll, |ui| {
            ui.spacing_mut().item_spacing = Vec2::ZERO;
            ui.add_space(6.0);
            if chip(ui, kit, strings::ALL_TENANTS, None, window.tenant.is_none()).clicked() {
                window.choose_tenant(data, None);
            }
            for (index, tenant) in data.tenants.iter().enumerate() {
                let on = window.tenant.as_ref() == Some(&tenant.id);
                let worst = data
                    .accounts
                    .iter()
                    .filter(|a| a.tenant == tenant.id && is_failing(a.state))
                    .map(|a| a.state)
                    .min_by_key(|s| *s != RegistrationState::Refused);
                let response = chip(ui, kit, &tenant.name, Some((tenant.colour, worst)), on);
                let response = if index < 8 {
                    let tip = format!(
                        "{}  {}+{}",
                        tenant.name,
                        ui.ctx().format_modifiers(egui::Modifiers::COMMAND),
                        index + 2
                    );
                    response.on_hover_text(tip)
                } else {
                    response.on_hover_text(&tenant.name)
                };
                if response.clicked() {
                    let next = (!on).then(|| tenant.id.clone());
                    window.choose_tenant(data, next);
                }
            }
        });
}

fn chip(
    ui: &mut Ui,
    kit: &Kit<'_>,
    name: &str,
    tenant: Option<(u8, Option<RegistrationState>)>,
    on: bool,
) -> egui::Response {
    let t = &kit.t;
    let (rect, response) =
        ui.allocate_exact_size(Vec2::new(ui.available_width(), t.px(44.0)), Sense::click());
    let body = snap(Rect::from_center_size(
        rect.center(),
        Vec2::splat(t.px(32.0)),
    ));
    let fill = if on {
        t.selected
    } else if response.hovered() {
        t.hover
    } else if tenant.is_some() {
        t.raised
    } else {
        Color32::TRANSPARENT
    };
    ui.painter().rect_filled(body, 8.0, fill);
    if response.has_focus() {
        ui.painter()
            .rect_stroke(body, 8.0, t.focus(), egui::StrokeKind::Outside);
    }
    let ink = if on { t.text } else { t.muted };
    match tenant {
        None => {
            let font = if on { t.icon_fill(18.0) } else { t.icon(18.0) };
            icon_in(ui.painter(), body, icons::STACK, font, ink);
        }
        Some((colour, worst)) => {
            let height = if on { body.height() } else { t.px(16.0) };
            let mark = Rect::from_center_size(
                pos2(rect.left() + 2.5, rect.center().y),
                Vec2::new(3.0, height),
            );
            ui.painter().rect_filled(mark, 1.5, t.tenant(colour));
            let words = initials(name);
            text_in(
                ui.painter(),
                body,
                &words,
                t.small_strong(),
                ink,
                Align::Center,
            );
            if let Some(state) = worst {
                let at = body.right_top() + Vec2::new(-1.0, 1.0);
                ui.painter().circle_filled(at, t.px(7.0), t.canvas);
                registration_mark(ui.painter(), t, at, state);
            }
        }
    }
    response.widget_info(|| WidgetInfo::selected(Role::Tab, true, on, name));
    response
}

fn screen_icon(screen: Screen) -> &'static str {
    match screen {
        Screen::Phone => icons::PHONE,
        Screen::History => icons::CLOCK_COUNTER_CLOCKWISE,
        Screen::Messages => icons::CHAT_CIRCLE_TEXT,
        Screen::Trace => icons::ARROWS_LEFT_RIGHT,
        Screen::Accounts => icons::USER_CIRCLE,
        Screen::Settings => icons::GEAR_SIX,
    }
}

fn deed_of(screen: Screen) -> shortcuts::Deed {
    match screen {
        Screen::Phone => shortcuts::Deed::Phone,
        Screen::History => shortcuts::Deed::History,
        Screen::Messages => shortcuts::Deed::Messages,
        Screen::Trace => shortcuts::Deed::Trace,
        Screen::Accounts => shortcuts::Deed::Accounts,
        Screen::Settings => shortcuts::Deed::Settings,
    }
}

fn tabs(ui: &mut Ui, rect: Rect, kit: &Kit<'_>, data: &Data, window: &mut Window) {
    let t = &kit.t;
    let mut bar = Bar::over(rect.shrink2(Vec2::new(12.0, 0.0)), 4.0);
    let with_words =
        |screen| Button::new(Kind::Ghost, strings::screen(screen)).icon(screen_icon(screen));
    let wanted: f32 = Screen::ALL
        .iter()
        .map(|screen| with_words(*screen).measure(ui, t) + 4.0)
        .sum();
    let words_too = wanted + t.px(28.0) <= bar.rest().width();
    // Large text in a narrow window: the tabs share what there is, and the sheet is left to its key.
    let each = bar.rest().width() / Screen::ALL.len() as f32 - 4.0;
    let square = t.px(32.0);
    let sheet_fits = words_too || each - t.px(28.0) / 6.0 >= square;
    let unread = messages::unread(data, window);
    for screen in Screen::ALL {
        let on = window.screen == screen;
        let words = strings::screen(screen);
        let button = if words_too {
            with_words(screen).height(28.0)
        } else {
            Button::icon_only(Kind::Ghost, screen_icon(screen), words)
                .height(32.0)
                .width(square.min(each.floor()))
        };
        let waits = (screen == Screen::Messages && unread > 0).then(|| strings::unread(unread));
        let name = match &waits {
            Some(waits) => format!("{words}, {waits}"),
            None => words.to_owned(),
        };
        let tip = format!("{name}  {}", shortcuts::written(ui.ctx(), deed_of(screen)));
        let response = bar.button_left(ui, t, button.name(&name).on(on).tip(tip));
        if waits.is_some() {
            // At the corner of the icon, clear of the word beside it.
            let across = if words_too { 24.0 } else { 28.0 };
            let at = response.rect.left_top() + Vec2::new(t.px(across), t.px(6.0));
            let place = Rect::from_center_size(at, Vec2::splat(t.px(16.0)));
            badge(ui.painter(), t, place, unread);
        }
        if response.clicked() {
            window.screen = screen;
        }
    }
    if !sheet_fits {
        return;
    }
    let sheet = Button::icon_only(Kind::Ghost, icons::KEYBOARD, strings::SHORTCUTS).tip(format!(
        "{}  {}",
        strings::SHORTCUTS,
        shortcuts::written(ui.ctx(), shortcuts::Deed::Sheet)
    ));
    if bar.button_right(ui, t, sheet).clicked() {
        window.sheet = true;
    }
}

fn status_bar(ui: &mut Ui, rect: Rect, kit: &Kit<'_>, data: &Data, window: &mut Window) {
    let t = &kit.t;
    ui.painter()
        .hline(rect.x_range(), rect.top() + 0.5, Stroke::new(1.0, t.line));
    let mut bar = Bar::over(rect.shrink2(Vec2::new(12.0, 0.0)), 8.0);
    let (there, wanted) = data.registered();
    let failing = data.failing().count();
    let state = if wanted == 0 {
        RegistrationState::Off
    } else if there == wanted {
        RegistrationState::Registered
    } else if failing > 0 {
        RegistrationState::Silent
    } else {
        RegistrationState::Trying
    };
    let mark = bar.left(t.px(8.0));
    registration_mark(ui.painter(), t, mark.center(), state);
    words(
        ui,
        kit,
        &mut bar,
        &strings::registered(there, wanted),
        t.muted,
    );

    if failing > 0 {
        let words = strings::failing(failing);
        let button = Button::new(Kind::DangerGhost, &words).small().height(20.0);
        // The speaker at the end keeps its place.
        let room = bar.rest().width() - t.px(20.0) - 8.0;
        let width = button.measure(ui, t).min(room);
        let button = button.width(width);
        if bar.button_left(ui, t, button).clicked() {
            let next = next_failing(data, window);
            window.account = next;
            window.form = None;
            window.screen = Screen::Accounts;
        }
    }
    let sound_bad = data.devices.warning.is_some();
    let devices = &data.devices;
    let said = match (devices.capture.is_empty(), devices.playout.is_empty()) {
        _ if !sound_bad => strings::SOUND_GOOD,
        (true, true) => strings::NO_SOUND,
        (true, false) => strings::NO_MICROPHONE,
        (false, true) => strings::NO_SPEAKER,
        (false, false) => strings::SOUND_BAD,
    };
    let icon = if sound_bad {
        icons::SPEAKER_SLASH
    } else {
        icons::SPEAKER_HIGH
    };
    let kind = if sound_bad {
        Kind::DangerGhost
    } else {
        Kind::Ghost
    };
    let mut button = if kit.room == Room::Compact {
        Button::icon_only(kind, icon, said).height(20.0)
    } else {
        Button::new(kind, said).icon(icon).small().height(20.0)
    };
    if let Some(warning) = &data.devices.warning {
        button = button.tip(warning.clone());
    }
    if bar.button_right(ui, t, button).clicked() {
        window.screen = Screen::Settings;
    }
    if kit.room >= Room::Medium {
        let said = format!(
            "{} · {}",
            strings::RECORDING,
            format::count(data.trace.len())
        );
        let button = Button::new(Kind::Ghost, &said)
            .icon(icons::RECORD)
            .small()
            .height(20.0);
        if bar.button_right(ui, t, button).clicked() {
            window.screen = Screen::Trace;
        }
    }
}

/// The failing account after the one that is shown, so that each click goes on to the next.
fn next_failing(data: &Data, window: &Window) -> Option<model::AccountId> {
    let ids: Vec<_> = data.failing().map(|a| a.id.clone()).collect();
    let after = window
        .account
        .as_ref()
        .and_then(|id| ids.iter().position(|i| i == id))
        .map_or(0, |at| at + 1);
    ids.get(after).or_else(|| ids.first()).cloned()
}

fn words(ui: &mut Ui, kit: &Kit<'_>, bar: &mut Bar, words: &str, ink: Color32) {
    let t = &kit.t;
    let galley = crate::widgets::galley(ui.painter(), words, t.small(), ink, bar.rest().width());
    let place = bar.left(galley.size().x);
    text_in(ui.painter(), place, words, t.small(), ink, Align::Min);
    let response = ui.interact(place, ui.scope_id().with(("words", words)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, words));
}

#[cfg(test)]
mod tests {
    use super::initials;

    #[test]
    fn a_name_is_known_by_two_letters() {
        assert_eq!(initials("Acme GmbH"), "AG");
        assert_eq!(initials("northwind"), "No");
        assert_eq!(initials("  "), "");
        assert_eq!(initials("ß"), "SS");
        assert_eq!(initials("Customer 07 Ltd"), "07");
    }
}
