//! Finished calls.

use egui::{Align, Key, Rect, Role, Sense, Ui, Vec2, WidgetInfo};
use model::{Command, Direction, HistoryEntry, Outcome, Private, Sentence, Sounded};

use super::account_list::two_lines;
use super::{Bar, Kit, Room, call_card, dial, part};
use crate::format;
use crate::view_state::Data;
use crate::widgets::{
    Button, Field, Kind, Rows, empty, icon_in, outcome_words, row_ground, rows, segmented, select,
    tenant_mark, text_in,
};
use crate::window::{FocusWish, HistoryFilter, HistoryRow, OutcomeFilter, Window};
use crate::{icons, strings};

fn filter_id() -> egui::Id {
    egui::Id::unique("history filter")
}

pub(crate) fn show(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    ui.spacing_mut().item_spacing.y = 0.0;
    if data.history.is_empty() {
        let go = Button::new(Kind::Quiet, strings::GO_TO_NUMBER);
        let icon = icons::CLOCK_COUNTER_CLOCKWISE;
        let clicked = empty(
            ui,
            &t,
            icon,
            strings::NO_HISTORY,
            strings::NO_HISTORY_TEXT,
            Some(go),
        );
        if clicked.is_some_and(|r| r.clicked()) {
            window.screen = crate::Screen::Phone;
            window.focus = Some(FocusWish::Number);
        }
        return;
    }
    tools(ui, kit, data, window);
    update(kit, data, window);
    let list = std::mem::take(&mut window.history_rows);
    let mut body = part(
        ui,
        Rect::from_min_max(ui.cursor().min, rect.max),
        "history list",
    );
    if list.calls == 0 {
        let hidden = strings::hidden_by_filter(&format::count(data.history.len()));
        let clear = Button::new(Kind::Quiet, strings::CLEAR_FILTER);
        let icon = icons::FUNNEL;
        let clicked = empty(&mut body, &t, icon, strings::NO_MATCH, &hidden, Some(clear));
        if clicked.is_some_and(|r| r.clicked()) {
            window.history = HistoryFilter::default();
            window.tenant = None;
        }
    } else {
        lines(&mut body, kit, data, window, &list.rows);
    }
    window.history_rows = list;
}

fn tools(ui: &mut Ui, kit: &Kit<'_>, data: &Data, window: &mut Window) {
    let t = &kit.t;
    let compact = kit.room == Room::Compact;
    let mut bar = Bar::new(ui, t.px(52.0), 12.0);
    bar.left(if compact { 0.0 } else { 4.0 });
    bar.right(if compact { 0.0 } else { 4.0 });
    let width = if compact {
        bar.rest().width()
    } else {
        t.px(260.0)
    };
    let place = bar.left(width);
    let place = Rect::from_center_size(place.center(), Vec2::new(place.width(), t.control()));
    let field = Field::new(&mut window.history.text, strings::FIND_CALL)
        .id(filter_id())
        .hint(strings::FIND_CALL)
        .icon(icons::MAGNIFYING_GLASS)
        .show_in(ui, t, place);
    if window.focus == Some(FocusWish::Filter) {
        window.focus = None;
        field.request_focus();
    }
    if compact {
        bar = Bar::new(ui, t.px(36.0), 8.0);
        bar.left(4.0);
    }
    let chosen = OutcomeFilter::ALL
        .iter()
        .position(|f| *f == window.history.outcome)
        .unwrap_or(0);
    let names = OutcomeFilter::ALL.map(strings::outcome_filter);
    let mut place = part(ui, bar.rest(), "outcome");
    let middle = (place.max_rect().height() - t.control()) / 2.0;
    place.add_space(middle.max(0.0).round());
    let picked = segmented(&mut place, t, strings::OUTCOME, &names, chosen);
    let used = place.min_rect().width();
    if let Some(filter) = picked.and_then(|i| OutcomeFilter::ALL.get(i)) {
        window.history.outcome = *filter;
    }
    if compact {
        return;
    }
    bar.left(used);
    let mut ids = vec![None];
    let mut names = vec![strings::ALL_ACCOUNTS.to_owned()];
    for account in &data.accounts {
        if window.tenant.as_ref().is_none_or(|t| *t == account.tenant) {
            ids.push(Some(account.id.clone()));
            names.push(account.title().to_owned());
        }
    }
    let chosen = ids
        .iter()
        .position(|id| *id == window.history.account)
        .unwrap_or(0);
    let place = bar.left(t.px(180.0).min(bar.rest().width() - t.px(80.0)));
    let place = Rect::from_center_size(place.center(), Vec2::new(place.width(), t.control()));
    let mut inner = part(ui, place.expand(2.0), "account filter");
    let mut inner = part(&mut inner, place, "account filter");
    inner.set_clip_rect(ui.clip_rect());
    if let (_, Some(index)) = select(&mut inner, t, strings::ACCOUNT, &names, chosen) {
        window.history.account = ids.get(index).cloned().flatten();
    }
    let count = strings::calls_listed(&format::count(window.history_rows.calls));
    text_in(
        ui.painter(),
        bar.rest(),
        &count,
        t.small(),
        t.faint,
        Align::Max,
    );
}

/// Makes the list of rows anew when something it is made of has changed.
fn update(kit: &Kit<'_>, data: &Data, window: &mut Window) {
    let today = kit.local(kit.live.now).day();
    let of = (
        data.history_version,
        window.history.clone(),
        window.tenant.clone(),
        kit.offset_s,
        today,
    );
    if window.history_rows.of.as_ref() == Some(&of) {
        return;
    }
    let words: Vec<String> = window
        .history
        .text
        .split_whitespace()
        .map(str::to_lowercase)
        .collect();
    let list = &mut window.history_rows;
    list.rows.clear();
    list.calls = 0;
    let mut day = None;
    for (index, entry) in data.history.iter().enumerate() {
        let taken = window.history.outcome.takes(entry.outcome)
            && window.tenant.as_ref().is_none_or(|t| *t == entry.tenant)
            && window
                .history
                .account
                .as_ref()
                .is_none_or(|a| *a == entry.account)
            && (words.is_empty() || contains(data, entry, &words));
        if !taken {
            continue;
        }
        let this_day = kit.local(entry.started_at).day();
        if day != Some(this_day) {
            day = Some(this_day);
            list.rows.push(HistoryRow::Day(index));
        }
        list.rows.push(HistoryRow::Call(index));
        list.calls += 1;
    }
    list.of = Some(of);
}

fn contains(data: &Data, entry: &HistoryEntry, words: &[String]) -> bool {
    let account = data.account(&entry.account).map_or("", |a| a.title());
    let text = format!(
        "{} {} {account} {}",
        entry.remote.display.as_ref().map_or("", Private::reveal),
        entry.remote.uri.reveal(),
        entry.sentence.as_ref().map_or("", Sentence::reveal),
    )
    .to_lowercase();
    words.iter().all(|w| text.contains(w))
}

fn lines(ui: &mut Ui, kit: &mut Kit<'_>, data: &Data, window: &mut Window, list: &[HistoryRow]) {
    let t = kit.t.clone();
    move_by_keys(ui, kit, data, window, list);
    let chosen = window.history_line;
    let reveal = std::mem::take(&mut window.reveal_history);
    let reveal = chosen.filter(|_| reveal).and_then(|id| {
        list.iter().position(|row| {
            matches!(row, HistoryRow::Call(i) if data.history.get(*i).is_some_and(|h| h.id == id))
        })
    });
    let spec = Rows {
        id: "history",
        height: t.row_two(),
        count: list.len(),
        reveal,
        follow: false,
        whole: false,
    };
    rows(ui, &spec, |ui, at, rect, response| match list.get(at) {
        Some(HistoryRow::Day(index)) => {
            let Some(entry) = data.history.get(*index) else {
                return;
            };
            let words = day_words(kit, entry);
            let mut place = rect.shrink2(Vec2::new(16.0, 0.0));
            place.min.y += t.px(14.0);
            text_in(
                ui.painter(),
                place,
                &words,
                t.small_strong(),
                t.faint,
                Align::Min,
            );
            response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, &words));
        }
        Some(HistoryRow::Call(index)) => {
            if let Some(entry) = data.history.get(*index) {
                let on = chosen == Some(entry.id);
                line(ui, rect, response, kit, data, window, entry, on);
            }
        }
        None => {}
    });
}

fn move_by_keys(ui: &Ui, kit: &mut Kit<'_>, data: &Data, window: &mut Window, list: &[HistoryRow]) {
    if ui.memory(|m| m.focused().is_some()) || window.sheet || window.question.is_some() {
        return;
    }
    let (up, down, enter) = ui.input(|i| {
        (
            i.key_pressed(Key::ArrowUp) || i.key_pressed(Key::K),
            i.key_pressed(Key::ArrowDown) || i.key_pressed(Key::J),
            i.key_pressed(Key::Enter),
        )
    });
    let entries: Vec<&HistoryEntry> = if up || down || enter {
        list.iter()
            .filter_map(|row| match row {
                HistoryRow::Call(index) => data.history.get(*index),
                HistoryRow::Day(_) => None,
            })
            .collect()
    } else {
        return;
    };
    let at = window
        .history_line
        .and_then(|id| entries.iter().position(|h| h.id == id));
    if enter {
        if let Some(entry) = at.and_then(|at| entries.get(at)) {
            redial(kit, data, entry);
        }
        return;
    }
    let next = match at {
        None => 0,
        Some(at) if down => (at + 1).min(entries.len().saturating_sub(1)),
        Some(at) => at.saturating_sub(1),
    };
    window.history_line = entries.get(next).map(|h| h.id);
    window.reveal_history = true;
}

fn redial(kit: &mut Kit<'_>, data: &Data, entry: &HistoryEntry) {
    if data.account(&entry.account).is_some() {
        kit.send(Command::PlaceCall {
            account: entry.account.clone(),
            target: entry.remote.uri.clone(),
            headers: Vec::new(),
            direction: model::MediaDirection::Both,
        });
    }
}

fn day_words(kit: &Kit<'_>, entry: &HistoryEntry) -> String {
    let today = kit.local(kit.live.now).day();
    let local = kit.local(entry.started_at);
    match today - local.day() {
        0 => strings::TODAY.to_owned(),
        1 => strings::YESTERDAY.to_owned(),
        _ => local.date(),
    }
}

/// How a call ended, as briefly as it can be said.
fn ending(kit: &Kit<'_>, entry: &HistoryEntry) -> (String, egui::Color32) {
    let (ink, word) = outcome_words(&kit.t, entry.outcome);
    if entry.outcome == Outcome::Answered {
        let talk = std::time::Duration::from_millis(entry.talk_ms);
        let talk = format::talk(talk);
        let mos = entry.sounded.and_then(|sounded| sounded.mos);
        let words = match mos {
            Some(mos) => format!("{talk} · {} {}", strings::quality(mos), format::figure(mos)),
            None => talk,
        };
        return (words, kit.t.muted);
    }
    match &entry.sentence {
        Some(sentence) if entry.outcome == Outcome::Failed => {
            let sentence = sentence.reveal();
            let title = sentence.split(": ").next().unwrap_or(sentence);
            (title.to_owned(), ink)
        }
        _ => (word.to_owned(), ink),
    }
}

#[allow(
    clippy::too_many_arguments,
    reason = "a row is drawn from what the list hands it"
)]
fn line(
    ui: &mut Ui,
    rect: Rect,
    response: egui::Response,
    kit: &mut Kit<'_>,
    data: &Data,
    window: &mut Window,
    entry: &HistoryEntry,
    on: bool,
) {
    let t = kit.t.clone();
    row_ground(ui, &t, rect, &response, on);
    let mut bar = Bar::over(rect.shrink2(Vec2::new(16.0, 0.0)), 12.0);
    let failed = entry.outcome == Outcome::Failed;
    let (ink, word) = outcome_words(&t, entry.outcome);
    let icon = bar.left(t.px(18.0));
    let missed = entry.outcome == Outcome::Missed;
    icon_in(
        ui.painter(),
        icon,
        call_card::direction_icon(entry.direction, failed),
        t.icon(18.0),
        if failed || missed { ink } else { t.faint },
    );
    let time = kit.local(entry.started_at).clock();
    let place = bar.right(t.px(44.0));
    text_in(ui.painter(), place, &time, t.body(), t.muted, Align::Max);

    let compact = kit.room == Room::Compact;
    let (end, end_ink) = ending(kit, entry);
    let account = data.account(&entry.account).map_or("", |a| a.title());
    let colour = data.tenant_colour(&entry.tenant);

    // The columns keep their places whether the buttons are seen or not.
    let mut buttons = Bar::over(bar.rest(), 4.0);
    if !compact || on {
        bar.right(2.0 * t.px(28.0) + 4.0);
    }
    let acting = on || (response.contains_pointer() && !compact);
    if acting {
        ui.push_id(entry.id, |ui| {
            let ladder =
                Button::icon_only(Kind::Ghost, icons::ARROWS_LEFT_RIGHT, strings::SHOW_LADDER);
            if buttons.button_right(ui, &t, ladder).clicked() {
                call_card::open_ladder(window, &entry.sip_call_id);
            }
            let again = Button::icon_only(Kind::Ghost, icons::PHONE, strings::CALL_AGAIN)
                .enabled(data.account(&entry.account).is_some());
            if buttons.button_right(ui, &t, again).clicked() {
                redial(kit, data, entry);
            }
        });
    }
    if !compact {
        let width = bar.rest().width();
        let who = width * 0.42;
        let place = bar.left(who);
        party(ui, place, kit, entry);
        let place = bar.left((width * 0.26).min(t.px(220.0)));
        let mark = Rect::from_center_size(
            egui::pos2(place.left() + 1.5, place.center().y),
            Vec2::new(3.0, t.px(14.0)),
        );
        tenant_mark(ui.painter(), &t, mark, colour);
        let mut words = place;
        words.min.x += 10.0;
        text_in(ui.painter(), words, account, t.body(), t.muted, Align::Min);
        let place = bar.rest();
        text_in(ui.painter(), place, &end, t.body(), end_ink, Align::Min);
    } else {
        let edge = Rect::from_min_size(rect.min, Vec2::new(3.0, rect.height()))
            .shrink2(Vec2::new(0.0, 10.0))
            .translate(Vec2::new(4.0, 0.0));
        tenant_mark(ui.painter(), &t, edge, colour);
        let (top, bottom) = two_lines(bar.rest(), &t);
        text_in(
            ui.painter(),
            top,
            entry.remote.title(),
            t.body(),
            t.text,
            Align::Min,
        );
        let under = format!("{end} · {account}");
        let ink = if failed || missed { ink } else { t.muted };
        text_in(ui.painter(), bottom, &under, t.small(), ink, Align::Min);
    }
    let way = match entry.direction {
        Direction::Incoming => strings::INCOMING,
        Direction::Outgoing => strings::OUTGOING,
    };
    let spoken = format!("{way}, {}, {word}, {account}, {time}", entry.remote.title());
    response.widget_info(|| WidgetInfo::selected(Role::ListBoxOption, true, on, &spoken));
    if response.clicked() {
        window.history_line = Some(entry.id);
    }
    if response.double_clicked() {
        redial(kit, data, entry);
    }
    let sentence = entry.sentence.as_ref().map(|s| s.reveal().to_owned());
    let told: Vec<String> = sentence
        .into_iter()
        .chain(entry.sounded.as_ref().map(sounded))
        .collect();
    if !told.is_empty() {
        response.on_hover_text(told.join("\n"));
    }
}

/// How the peer was heard, in a line.
fn sounded(sounded: &Sounded) -> String {
    let worst = sounded
        .worst_mos
        .map(|mos| strings::at_worst(&format::figure(mos)));
    let lost = strings::lost(&format::figure(sounded.lost * 100.0));
    let jitter = strings::jitter(&format::figure(sounded.jitter_ms));
    let round_trip = sounded
        .rtt_ms
        .map(|ms| strings::round_trip(&format::figure(ms)));
    let figures = worst.into_iter().chain([lost, jitter]).chain(round_trip);
    figures.collect::<Vec<_>>().join(" · ")
}

fn party(ui: &Ui, rect: Rect, kit: &Kit<'_>, entry: &HistoryEntry) {
    let t = &kit.t;
    let title = entry.remote.title();
    let address = dial::short_target(entry.remote.uri.reveal());
    if title == address {
        text_in(ui.painter(), rect, title, t.body(), t.text, Align::Min);
        return;
    }
    let (top, bottom) = two_lines(rect, t);
    text_in(ui.painter(), top, title, t.body(), t.text, Align::Min);
    text_in(
        ui.painter(),
        bottom,
        address,
        t.small(),
        t.faint,
        Align::Min,
    );
}

/// The newest calls, for the phone screen: a click puts the number into the field.
pub(crate) fn recent(
    ui: &mut Ui,
    kit: &mut Kit<'_>,
    data: &Data,
    window: &mut Window,
    most: usize,
) {
    let t = kit.t.clone();
    let ours = data
        .history
        .iter()
        .filter(|h| window.tenant.as_ref().is_none_or(|t| *t == h.tenant))
        .take(most);
    let ours: Vec<&HistoryEntry> = ours.collect();
    for entry in ours {
        let (rect, response) =
            ui.allocate_exact_size(Vec2::new(ui.available_width(), t.row_two()), Sense::click());
        let wide = rect.expand2(Vec2::new(12.0, 0.0));
        row_ground(ui, &t, wide, &response, false);
        let mut bar = Bar::over(rect, 12.0);
        let failed = entry.outcome == Outcome::Failed;
        let missed = entry.outcome == Outcome::Missed;
        let (ink, word) = outcome_words(&t, entry.outcome);
        let icon = bar.left(t.px(18.0));
        icon_in(
            ui.painter(),
            icon,
            call_card::direction_icon(entry.direction, failed),
            t.icon(18.0),
            if failed || missed { ink } else { t.faint },
        );
        let (end, end_ink) = ending(kit, entry);
        let local = kit.local(entry.started_at);
        let when = match kit.local(kit.live.now).day() - local.day() {
            0 => local.clock(),
            1 => strings::YESTERDAY.to_owned(),
            _ => local.date(),
        };
        let right = bar.right(t.px(120.0));
        let (top, bottom) = two_lines(right, &t);
        text_in(ui.painter(), top, &when, t.body(), t.muted, Align::Max);
        text_in(ui.painter(), bottom, &end, t.small(), end_ink, Align::Max);
        let (top, bottom) = two_lines(bar.rest(), &t);
        text_in(
            ui.painter(),
            top,
            entry.remote.title(),
            t.body(),
            t.text,
            Align::Min,
        );
        let account = data.account(&entry.account).map_or("", |a| a.title());
        let mark = Rect::from_center_size(
            egui::pos2(bottom.left() + 1.5, bottom.center().y),
            Vec2::new(3.0, t.px(10.0)),
        );
        tenant_mark(ui.painter(), &t, mark, data.tenant_colour(&entry.tenant));
        let mut under = bottom;
        under.min.x += 8.0;
        text_in(ui.painter(), under, account, t.small(), t.faint, Align::Min);
        let spoken = format!("{}, {word}, {account}, {when}", entry.remote.title());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &spoken));
        if response.clicked() {
            window.dial = dial::short_target(entry.remote.uri.reveal()).to_owned();
            if data.account(&entry.account).is_some() {
                window.dial_account = Some(entry.account.clone());
            }
            window.focus = Some(FocusWish::Number);
        }
    }
}
