//! The list of accounts beside the screen, and the menu that chooses the account to call with.

use std::collections::BTreeSet;

use egui::{
    Align, Key, Popup, PopupCloseBehavior, Rect, Role, Sense, Stroke, StrokeKind, Ui, Vec2,
};
use egui::{WidgetInfo, pos2};
use model::{AccountView, LampState, LampView, RegistrationState, TenantId};

use super::accounts::{pick_up, told};
use super::{Bar, Kit, dial, part};
use crate::account_form::AccountForm;
use crate::theme::Theme;
use crate::view_state::Data;
use crate::widgets::{
    Button, Field, Kind, Rows, badge, empty, icon_in, lamp_mark, lamp_words, menu_frame,
    registration_mark, registration_words, row_ground, rows, tenant_mark, text_in,
};
use crate::window::{AccountRow, AccountRows, FocusWish, Screen, Window};
use crate::{icons, strings};

/// The filter field of the list.
pub(crate) fn filter_id() -> egui::Id {
    egui::Id::unique("account filter")
}

pub(crate) fn show(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    ui.spacing_mut().item_spacing.y = 0.0;
    let mut bar = Bar::new(ui, t.px(44.0), 4.0);
    bar.left(8.0);
    bar.right(4.0);
    let add = Button::icon_only(Kind::Ghost, icons::PLUS, strings::ADD_ACCOUNT);
    if bar.button_right(ui, &t, add).clicked() {
        window.form = Some(AccountForm::new(new_account_tenant(data, window)));
        window.focus = Some(FocusWish::Form);
        window.screen = Screen::Accounts;
    }
    let title = window
        .tenant
        .as_ref()
        .and_then(|id| data.tenant(id))
        .map_or(strings::ACCOUNTS, |tenant| tenant.name.as_str());
    text_in(
        ui.painter(),
        bar.rest(),
        title,
        t.strong(),
        t.text,
        Align::Min,
    );

    if data.accounts.len() > 8 {
        let mut bar = Bar::new(ui, t.px(36.0), 0.0);
        bar.left(8.0);
        bar.right(8.0);
        let mut place = bar.rest();
        place.max.y -= 8.0;
        let field = Field::new(&mut window.account_filter, strings::FIND_ACCOUNT)
            .id(filter_id())
            .hint(strings::FIND_ACCOUNT)
            .icon(icons::MAGNIFYING_GLASS)
            .show_in(ui, &t, place);
        if window.focus == Some(FocusWish::Filter) {
            window.focus = None;
            field.request_focus();
        }
    }

    update(
        &mut window.account_rows,
        data,
        &window.account_filter,
        window.tenant.as_ref(),
        &window.folded,
        true,
    );
    if window.account_rows.rows.is_empty() && !window.account_filter.is_empty() {
        let clear = Button::new(Kind::Quiet, strings::CLEAR_FILTER);
        let clicked = empty(
            ui,
            &t,
            icons::MAGNIFYING_GLASS,
            strings::NO_ACCOUNT_MATCHES,
            &format!("“{}”", window.account_filter),
            Some(clear),
        );
        if clicked.is_some_and(|r| r.clicked()) {
            window.account_filter.clear();
        }
        return;
    }
    let reveal = walk(ui, data, window);
    let list = std::mem::take(&mut window.account_rows);
    let on_accounts = window.screen == Screen::Accounts;
    let mut inner = part(
        ui,
        Rect::from_min_max(ui.cursor().min, rect.max),
        "account rows",
    );
    let spec = Rows {
        id: "accounts",
        height: t.row(),
        count: list.rows.len(),
        reveal,
        follow: false,
        whole: false,
    };
    rows(&mut inner, &spec, |ui, index, rect, response| {
        match list.rows.get(index) {
            Some(AccountRow::Tenant {
                index,
                registered,
                all,
            }) => {
                let Some(tenant) = data.tenants.get(*index) else {
                    return;
                };
                let folded = window.folded.contains(&tenant.id);
                row_ground(ui, &t, rect, &response, false);
                let mut bar = Bar::over(rect.shrink2(Vec2::new(12.0, 0.0)), 6.0);
                let mark = bar.left(3.0);
                tenant_mark(
                    ui.painter(),
                    &t,
                    mark.shrink2(Vec2::new(0.0, (mark.height() - t.px(12.0)) / 2.0)),
                    tenant.colour,
                );
                let figures = format!("{registered}/{all}");
                let wide = crate::widgets::galley(
                    ui.painter(),
                    &figures,
                    t.small(),
                    t.muted,
                    rect.width(),
                );
                let place = bar.right(wide.size().x);
                let ink = if registered == all { t.faint } else { t.muted };
                text_in(ui.painter(), place, &figures, t.small(), ink, Align::Max);
                let caret = bar.right(t.px(12.0));
                let icon = if folded {
                    icons::CARET_RIGHT
                } else {
                    icons::CARET_DOWN
                };
                if response.hovered() || folded {
                    icon_in(ui.painter(), caret, icon, t.icon(12.0), t.faint);
                }
                text_in(
                    ui.painter(),
                    bar.rest(),
                    &tenant.name,
                    t.small_strong(),
                    t.muted,
                    Align::Min,
                );
                let spoken = format!("{}, {figures}", tenant.name);
                response.widget_info(|| {
                    WidgetInfo::selected(Role::DisclosureTriangle, true, !folded, &spoken)
                });
                if response.clicked() && !window.folded.remove(&tenant.id) {
                    window.folded.insert(tenant.id.clone());
                }
            }
            Some(AccountRow::Account(index)) => {
                let Some(account) = data.accounts.get(*index) else {
                    return;
                };
                let chosen = if on_accounts {
                    &window.account
                } else {
                    &window.dial_account
                };
                let on = chosen.as_ref() == Some(&account.id);
                let response = account_row(ui, kit, rect, response, account, on);
                if response.clicked() {
                    window.form = None;
                    window.account = Some(account.id.clone());
                    if !on_accounts {
                        window.dial_account = Some(account.id.clone());
                    }
                }
                if response.double_clicked() {
                    window.screen = Screen::Accounts;
                }
            }
            Some(AccountRow::Lamp(index, lamp)) => {
                let account = data.accounts.get(*index);
                let lamp = account.and_then(|a| a.lamps.get(*lamp));
                if let (Some(account), Some(lamp)) = (account, lamp) {
                    lamp_row(ui, kit, rect, &response, account, lamp);
                    if response.clicked() {
                        use_lamp(kit, window, account, lamp);
                    }
                }
            }
            None => {}
        }
    });
    window.account_rows = list;
}

/// Up and down choose the account before or after, on the accounts screen, while nothing else has the
/// keyboard. Answers with the row to bring into view.
fn walk(ui: &Ui, data: &Data, window: &mut Window) -> Option<usize> {
    let busy = window.screen != Screen::Accounts
        || window.form.is_some()
        || window.sheet
        || window.question.is_some()
        || ui.memory(egui::Memory::focused).is_some();
    if busy {
        return None;
    }
    let (up, down) = ui.input(|i| {
        (
            i.key_pressed(Key::ArrowUp) || i.key_pressed(Key::K),
            i.key_pressed(Key::ArrowDown) || i.key_pressed(Key::J),
        )
    });
    if !up && !down {
        return None;
    }
    let rows = &window.account_rows.rows;
    let accounts: Vec<(usize, &AccountView)> = rows
        .iter()
        .enumerate()
        .filter_map(|(at, row)| match row {
            AccountRow::Account(index) => Some((at, data.accounts.get(*index)?)),
            AccountRow::Tenant { .. } | AccountRow::Lamp(..) => None,
        })
        .collect();
    let now = accounts
        .iter()
        .position(|(_, a)| window.account.as_ref() == Some(&a.id));
    let next = match now {
        None => 0,
        Some(now) if down => (now + 1).min(accounts.len().saturating_sub(1)),
        Some(now) => now.saturating_sub(1),
    };
    let (at, account) = accounts.get(next)?;
    window.account = Some(account.id.clone());
    Some(*at)
}

/// Whose account a new one becomes.
pub(crate) fn new_account_tenant(data: &Data, window: &Window) -> Option<TenantId> {
    window
        .tenant
        .clone()
        .or_else(|| data.tenants.first().map(|t| t.id.clone()))
}

fn account_row(
    ui: &mut Ui,
    kit: &Kit<'_>,
    rect: Rect,
    response: egui::Response,
    account: &AccountView,
    on: bool,
) -> egui::Response {
    let t = &kit.t;
    row_ground(ui, t, rect, &response, on);
    let mut bar = Bar::over(rect.shrink2(Vec2::new(12.0, 0.0)), 8.0);
    bar.left(1.0);
    let mark = bar.left(t.px(8.0));
    registration_mark(ui.painter(), t, mark.center(), account.state);
    let (colour, word) = registration_words(t, account.state);
    let ink = if account.state == RegistrationState::Registered {
        t.faint
    } else {
        colour
    };
    let galley = crate::widgets::galley(ui.painter(), word, t.small(), ink, rect.width());
    let place = bar.right(galley.size().x);
    text_in(ui.painter(), place, word, t.small(), ink, Align::Max);
    let said = badges(ui, t, &mut bar, account);
    let cut = text_in(
        ui.painter(),
        bar.rest(),
        account.title(),
        t.body(),
        t.text,
        Align::Min,
    );
    let mut spoken = format!("{}, {word}", account.title());
    for said in &said {
        spoken.push_str(&format!(", {said}"));
    }
    response.widget_info(|| WidgetInfo::selected(Role::ListBoxOption, true, on, &spoken));
    let failure = account.failure.as_ref().map(model::Failure::title);
    if failure.is_none() && said.is_empty() && !cut {
        return response;
    }
    let lines = std::iter::once(account.title().to_owned())
        .chain(failure)
        .chain(said);
    response.on_hover_text(lines.collect::<Vec<_>>().join("\n"))
}

/// Small icons for what a person should know before the next call; answers with them in words.
fn badges(ui: &Ui, t: &Theme, bar: &mut Bar, account: &AccountView) -> Vec<String> {
    let mut said = Vec::new();
    let calls = &account.settings.calls;
    if let Some(waiting) = account.waiting.as_ref().filter(|w| w.waiting) {
        if waiting.new > 0 {
            let count = usize::try_from(waiting.new).unwrap_or(usize::MAX);
            let place = bar.right(t.px(16.0));
            badge(ui.painter(), t, place, count);
            bar.outdent_right(4.0);
        }
        let place = bar.right(t.px(14.0));
        icon_in(
            ui.painter(),
            place,
            icons::VOICEMAIL,
            t.icon(14.0),
            t.accent,
        );
        said.push(strings::voice_messages(waiting));
    }
    if calls.do_not_disturb != model::DoNotDisturb::Off {
        let place = bar.right(t.px(14.0));
        icon_in(ui.painter(), place, icons::BELL_SLASH, t.icon(14.0), t.warn);
        said.push(strings::DO_NOT_DISTURB.to_owned());
    }
    if let Some(target) = &calls.forward_always {
        let place = bar.right(t.px(14.0));
        icon_in(
            ui.painter(),
            place,
            icons::ARROW_BEND_UP_RIGHT,
            t.icon(14.0),
            t.warn,
        );
        said.push(strings::forwards_to(target.reveal()));
    }
    said
}

/// One who is watched, below the account that watches.
fn lamp_row(
    ui: &Ui,
    kit: &Kit<'_>,
    rect: Rect,
    response: &egui::Response,
    account: &AccountView,
    lamp: &LampView,
) {
    let t = &kit.t;
    row_ground(ui, t, rect, response, false);
    let mut bar = Bar::over(rect.shrink2(Vec2::new(12.0, 0.0)), 8.0);
    bar.left(t.px(10.0));
    let mark = bar.left(t.px(10.0));
    lamp_mark(ui.painter(), t, mark.center(), lamp.lamp);
    let (mut ink, mut word) = lamp_words(t, lamp.lamp);
    let rings = pick_up(account, lamp).is_some();
    if rings {
        (ink, word) = (t.good, strings::PICK_UP);
    } else if lamp.lamp == LampState::Idle {
        ink = t.faint;
    }
    let font = if rings { t.small_strong() } else { t.small() };
    let shown = crate::widgets::galley(ui.painter(), word, font.clone(), ink, rect.width());
    let place = bar.right(shown.size().x);
    text_in(ui.painter(), place, word, font, ink, Align::Max);
    let name = dial::short_target(lamp.watched.reveal());
    text_in(
        ui.painter(),
        bar.rest(),
        name,
        t.body(),
        t.muted,
        Align::Min,
    );
    let told = told(lamp_words(t, lamp.lamp).1, lamp);
    let spoken = match rings {
        true => format!("{name}, {told}, {word}"),
        false => format!("{name}, {told}"),
    };
    response.widget_info(|| WidgetInfo::labeled(Role::ListItem, true, &spoken));
    response.clone().on_hover_text(format!("{name}\n{told}"));
}

/// A click on a lamp takes the call that rings there; else its number stands ready to be called.
fn use_lamp(kit: &mut Kit<'_>, window: &mut Window, account: &AccountView, lamp: &LampView) {
    window.dial_account = Some(account.id.clone());
    window.screen = Screen::Phone;
    if let Some(command) = pick_up(account, lamp) {
        kit.send(command);
        return;
    }
    window.dial = dial::short_target(lamp.watched.reveal()).to_owned();
    window.focus = Some(FocusWish::Number);
}

/// Makes the list of rows anew when something it is made of has changed.
pub(crate) fn update(
    list: &mut AccountRows,
    data: &Data,
    filter: &str,
    tenant: Option<&TenantId>,
    folded: &BTreeSet<TenantId>,
    with_lamps: bool,
) {
    let of = (
        data.accounts_version,
        filter.to_owned(),
        tenant.cloned(),
        folded.clone(),
    );
    if list.of.as_ref() == Some(&of) {
        return;
    }
    let words: Vec<String> = filter.split_whitespace().map(str::to_lowercase).collect();
    let matches = |account: &AccountView, tenant: &str| {
        words.is_empty() || {
            let text = format!(
                "{} {} {}",
                account.title(),
                account.settings.aor.reveal(),
                tenant
            )
            .to_lowercase();
            words.iter().all(|w| text.contains(w))
        }
    };
    list.rows.clear();
    list.accounts = 0;
    for (index, organisation) in data.tenants.iter().enumerate() {
        if tenant.is_some_and(|t| *t != organisation.id) {
            continue;
        }
        let at = list.rows.len();
        let (mut registered, mut all) = (0, 0);
        list.rows.push(AccountRow::Tenant {
            index,
            registered,
            all,
        });
        for (index, account) in data.accounts.iter().enumerate() {
            if account.tenant != organisation.id || !matches(account, &organisation.name) {
                continue;
            }
            all += 1;
            registered += usize::from(account.state == RegistrationState::Registered);
            if !folded.contains(&organisation.id) || !words.is_empty() {
                list.rows.push(AccountRow::Account(index));
                if with_lamps && words.is_empty() {
                    let lamps = 0..account.lamps.len();
                    list.rows
                        .extend(lamps.map(|lamp| AccountRow::Lamp(index, lamp)));
                }
            }
        }
        list.accounts += all;
        if all == 0 && !words.is_empty() {
            list.rows.truncate(at);
        } else if let Some(row) = list.rows.get_mut(at) {
            *row = AccountRow::Tenant {
                index,
                registered,
                all,
            };
        }
    }
    list.of = Some(of);
}

/// The button that shows the account to call with, and its menu.
pub(crate) fn chooser(
    ui: &mut Ui,
    rect: Rect,
    kit: &Kit<'_>,
    data: &Data,
    window: &mut Window,
) -> egui::Response {
    let t = kit.t.clone();
    let account = window.dial_account.as_ref().and_then(|id| data.account(id));
    let response = ui.interact(rect, ui.scope_id().with("account chooser"), Sense::click());
    let painter = ui.painter();
    let fill = if response.hovered() { t.hover } else { t.field };
    painter.rect_filled(rect, 6.0, fill);
    painter.rect_stroke(rect, 6.0, Stroke::new(1.0, t.outline), StrokeKind::Inside);
    if response.has_focus() {
        painter.rect_stroke(rect.expand(1.0), 7.0, t.focus(), StrokeKind::Outside);
    }
    let mut bar = Bar::over(rect.shrink2(Vec2::new(10.0, 0.0)), 8.0);
    let caret = bar.right(t.px(12.0));
    icon_in(painter, caret, icons::CARET_DOWN, t.icon(12.0), t.muted);
    let spoken = match account {
        None => {
            text_in(
                painter,
                bar.rest(),
                strings::NO_ACCOUNT,
                t.body(),
                t.muted,
                Align::Min,
            );
            strings::NO_ACCOUNT.to_owned()
        }
        Some(account) => {
            let mark = bar.left(t.px(8.0));
            registration_mark(painter, &t, mark.center(), account.state);
            let tenant = data.tenant(&account.tenant);
            let edge = rect.shrink2(Vec2::new(0.0, 8.0));
            tenant_mark(painter, &t, edge, tenant.map_or(0, |t| t.colour));
            let (_, word) = registration_words(&t, account.state);
            let mut under = match tenant {
                Some(tenant) => format!("{} · {word}", tenant.name),
                None => word.to_owned(),
            };
            let calls = &account.settings.calls;
            if let Some(target) = &calls.forward_always {
                under = format!("{} · {word}", strings::forwards_to(target.reveal()));
            }
            let (top, bottom) = two_lines(bar.rest(), &t);
            text_in(
                painter,
                top,
                account.title(),
                t.strong(),
                t.text,
                Align::Min,
            );
            text_in(painter, bottom, &under, t.small(), t.muted, Align::Min);
            format!("{}, {under}", account.title())
        }
    };
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ComboBox, true, strings::DIAL_WITH);
        info.current_text_value = Some(spoken.clone());
        info
    });

    let id = Popup::default_response_id(&response);
    let just_opened = response.clicked() && !Popup::is_id_open(ui.ctx(), id);
    if just_opened {
        window.account_choice.clear();
        window.account_choice_at = 0;
    }
    Popup::from_toggle_button_response(&response)
        .close_behavior(PopupCloseBehavior::CloseOnClickOutside)
        .frame(menu_frame(&t))
        .gap(4.0)
        .width(rect.width().max(t.px(280.0)))
        .accessible_name(strings::DIAL_WITH)
        .show(|ui| choices(ui, &t, kit, data, window, just_opened));
    response
}

fn choices(
    ui: &mut Ui,
    t: &crate::theme::Theme,
    kit: &Kit<'_>,
    data: &Data,
    window: &mut Window,
    just_opened: bool,
) {
    ui.spacing_mut().item_spacing.y = 4.0;
    let (up, down, enter) = ui.input_mut(|i| {
        (
            i.consume_key(egui::Modifiers::NONE, Key::ArrowUp),
            i.consume_key(egui::Modifiers::NONE, Key::ArrowDown),
            i.consume_key(egui::Modifiers::NONE, Key::Enter),
        )
    });
    let field = Field::new(&mut window.account_choice, strings::FIND_ACCOUNT)
        .hint(strings::FIND_ACCOUNT)
        .icon(icons::MAGNIFYING_GLASS)
        .show(ui, t);
    if just_opened {
        field.request_focus();
    }
    let none = BTreeSet::new();
    let mut list = std::mem::take(&mut window.choice_rows);
    update(
        &mut list,
        data,
        &window.account_choice,
        window.tenant.as_ref(),
        &none,
        false,
    );
    let accounts: Vec<usize> = list
        .rows
        .iter()
        .enumerate()
        .filter(|(_, row)| matches!(row, AccountRow::Account(_)))
        .map(|(at, _)| at)
        .collect();
    if down {
        window.account_choice_at += 1;
    }
    if up {
        window.account_choice_at = window.account_choice_at.saturating_sub(1);
    }
    window.account_choice_at = window
        .account_choice_at
        .min(accounts.len().saturating_sub(1));
    let cursor = accounts.get(window.account_choice_at).copied();
    let mut picked = None;
    if enter && let Some(AccountRow::Account(index)) = cursor.and_then(|at| list.rows.get(at)) {
        picked = data.accounts.get(*index);
    }
    if accounts.is_empty() {
        crate::widgets::label(ui, strings::NO_ACCOUNT_MATCHES, t.body(), t.muted);
    }
    let height = (t.row() * list.rows.len() as f32).min(t.px(320.0));
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), height), Sense::hover());
    let mut inner = part(ui, rect, "choices");
    let spec = Rows {
        id: "account choices",
        height: t.row(),
        count: list.rows.len(),
        reveal: cursor.filter(|_| up || down),
        follow: false,
        whole: false,
    };
    rows(&mut inner, &spec, |ui, at, rect, response| {
        match list.rows.get(at) {
            Some(AccountRow::Tenant { index, .. }) => {
                if let Some(tenant) = data.tenants.get(*index) {
                    let mut bar = Bar::over(rect.shrink2(Vec2::new(8.0, 0.0)), 6.0);
                    let mark = bar.left(3.0);
                    let inset = (mark.height() - t.px(12.0)) / 2.0;
                    tenant_mark(
                        ui.painter(),
                        t,
                        mark.shrink2(Vec2::new(0.0, inset)),
                        tenant.colour,
                    );
                    let place = bar.rest();
                    text_in(
                        ui.painter(),
                        place,
                        &tenant.name,
                        t.small_strong(),
                        t.muted,
                        Align::Min,
                    );
                }
            }
            Some(AccountRow::Account(index)) => {
                if let Some(account) = data.accounts.get(*index) {
                    let on = cursor == Some(at);
                    if account_row(ui, kit, rect, response, account, on).clicked() {
                        picked = Some(account);
                    }
                }
            }
            Some(AccountRow::Lamp(..)) | None => {}
        }
    });
    window.choice_rows = list;
    if let Some(account) = picked {
        window.dial_account = Some(account.id.clone());
        window.focus = Some(FocusWish::Number);
        ui.close();
    }
}

/// The places of two lines, body over small, in the middle of `rect`.
pub(crate) fn two_lines(rect: Rect, t: &crate::theme::Theme) -> (Rect, Rect) {
    let (upper, lower) = (t.px(17.0), t.px(15.0));
    let top = (rect.center().y - (upper + lower) / 2.0).round();
    (
        Rect::from_min_max(pos2(rect.left(), top), pos2(rect.right(), top + upper)),
        Rect::from_min_max(
            pos2(rect.left(), top + upper),
            pos2(rect.right(), top + upper + lower),
        ),
    )
}
