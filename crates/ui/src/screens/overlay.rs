//! What lies above the screens: questions, the sheet of shortcuts, notices. None of it takes the
//! keyboard from where it is, except a question that the person has asked for.

use egui::{Align, Align2, Area, Frame, Id, Key, Margin, Modal, Order, Rect, Role, Sense, Stroke};
use egui::{Ui, Vec2, WidgetInfo};
use model::{Command, NoticeLevel};

use super::{Bar, Kit};
use crate::shortcuts::{self, Deed};
use crate::view_state::{Data, notice_ends};
use crate::widgets::{
    Button, Kind, caption, galley, icon_in, label, paragraph, tenant_mark, text_in,
};
use crate::window::{Question, Window};
use crate::{icons, strings};

pub(crate) fn show(ui: &mut Ui, whole: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    notices(ui, whole, kit, data, window);
    super::login::show(ui, whole, kit, data, window);
    if window.sheet {
        sheet(ui, whole, kit, window);
    }
    if window.question.is_some() {
        question(ui, kit, data, window);
    }
}

fn notices(ui: &mut Ui, whole: Rect, kit: &Kit<'_>, data: &Data, window: &mut Window) {
    let t = &kit.t;
    let open: Vec<_> = data
        .notices
        .iter()
        .filter(|(number, notice)| {
            !window.read.contains(number)
                && notice_ends(notice).is_none_or(|end| kit.live.now < end)
        })
        .rev()
        .take(3)
        .collect();
    if open.is_empty() {
        return;
    }
    let width = t.px(360.0).min(whole.width() - 24.0);
    Area::new(Id::unique("notices"))
        .order(Order::Foreground)
        .anchor(Align2::RIGHT_BOTTOM, Vec2::new(-12.0, -(t.px(28.0) + 12.0)))
        .show(ui.ctx(), |ui| {
            ui.set_width(width);
            ui.spacing_mut().item_spacing.y = 8.0;
            for (number, notice) in open.into_iter().rev() {
                let (icon, ink) = match notice.level {
                    NoticeLevel::Info => (icons::INFO, t.accent),
                    NoticeLevel::Warning => (icons::WARNING, t.warn),
                    NoticeLevel::Error => (icons::WARNING_CIRCLE, t.bad),
                };
                let tenant = notice.tenant.as_ref().and_then(|id| data.tenant(id));
                let frame = Frame::NONE
                    .fill(t.float)
                    .stroke(Stroke::new(1.0, t.outline))
                    .corner_radius(8)
                    .inner_margin(Margin::symmetric(12, 10))
                    .shadow(egui::Shadow {
                        offset: [0, 6],
                        blur: 20,
                        spread: 0,
                        color: egui::Color32::from_black_alpha(if t.dark { 120 } else { 40 }),
                    })
                    .show(ui, |ui| {
                        ui.push_id(number, |ui| {
                            ui.horizontal_top(|ui| {
                                ui.spacing_mut().item_spacing = Vec2::new(10.0, 2.0);
                                let (place, _) =
                                    ui.allocate_exact_size(Vec2::splat(t.px(18.0)), Sense::hover());
                                icon_in(ui.painter(), place, icon, t.icon_fill(16.0), ink);
                                let room = ui.available_width() - t.px(20.0) - 10.0;
                                ui.vertical(|ui| {
                                    ui.set_width(room);
                                    if let Some(tenant) = tenant {
                                        label(ui, &tenant.name, t.small_strong(), t.muted);
                                    }
                                    paragraph(ui, notice.text.reveal(), t.body(), t.text);
                                });
                                let close =
                                    Button::icon_only(Kind::Ghost, icons::X, strings::DISMISS)
                                        .height(20.0);
                                if close.show(ui, t).clicked() {
                                    window.read.insert(*number);
                                }
                            });
                        });
                    });
                if let Some(tenant) = tenant {
                    let edge = frame.response.rect.shrink2(Vec2::new(0.0, 8.0));
                    tenant_mark(ui.painter(), t, edge, tenant.colour);
                }
                let response = ui.interact(
                    frame.response.rect,
                    ui.scope_id().with(("notice", number)),
                    Sense::hover(),
                );
                response
                    .widget_info(|| WidgetInfo::labeled(Role::Alert, true, notice.text.reveal()));
            }
        });
}

fn sheet(ui: &mut Ui, whole: Rect, kit: &Kit<'_>, window: &mut Window) {
    let t = kit.t.clone();
    let two = whole.width() > t.px(640.0);
    let width = if two { t.px(560.0) } else { t.px(300.0) }.min(whole.width() - 48.0);
    let modal = Modal::new(Id::unique("sheet"))
        .backdrop_color(egui::Color32::from_black_alpha(if t.dark {
            150
        } else {
            90
        }))
        .frame(dialog_frame(&t))
        .show(ui.ctx(), |ui| {
            ui.set_width(width);
            ui.spacing_mut().item_spacing.y = 8.0;
            let mut bar = Bar::new(ui, t.px(28.0), 8.0);
            let close = Button::icon_only(Kind::Ghost, icons::X, strings::CLOSE);
            if bar.button_right(ui, &t, close).clicked() {
                window.sheet = false;
            }
            let place = bar.rest();
            text_in(
                ui.painter(),
                place,
                strings::SHORTCUTS,
                t.large_strong(),
                t.text,
                Align::Min,
            );
            ui.add_space(4.0);
            egui::ScrollArea::vertical()
                .max_height(whole.height() - t.px(140.0))
                .min_scrolled_height((whole.height() - t.px(140.0)).min(t.px(440.0)))
                .show(ui, |ui| groups(ui, &t, two));
        });
    let escape = ui.input_mut(|i| i.consume_key(egui::Modifiers::NONE, Key::Escape));
    if modal.should_close() || escape {
        window.sheet = false;
    }
}

pub(super) fn dialog_frame(t: &crate::theme::Theme) -> Frame {
    Frame::NONE
        .fill(t.float)
        .stroke(Stroke::new(1.0, t.outline))
        .corner_radius(12)
        .inner_margin(Margin::same(20))
        .shadow(egui::Shadow {
            offset: [0, 12],
            blur: 48,
            spread: 0,
            color: egui::Color32::from_black_alpha(if t.dark { 160 } else { 60 }),
        })
}

/// The sheet's groups: keys of the table by deed, and those that lists and the trace take.
fn groups(ui: &mut Ui, t: &crate::theme::Theme, two: bool) {
    let ctx = ui.ctx().clone();
    let of = |deeds: &[Deed]| -> Vec<(String, String)> {
        deeds
            .iter()
            .filter_map(|deed| {
                let entry = shortcuts::TABLE.iter().find(|e| e.deed == *deed)?;
                Some((entry.words.to_owned(), shortcuts::written(&ctx, *deed)))
            })
            .collect()
    };
    let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter()
            .map(|(words, key)| ((*words).to_owned(), (*key).to_owned()))
            .collect()
    };
    let command = ctx.format_modifiers(egui::Modifiers::COMMAND);
    let alt = ctx.format_modifiers(egui::Modifiers::ALT);
    let left = [
        (
            "Calls",
            of(&[
                Deed::FocusNumber,
                Deed::CallOneWay,
                Deed::Answer,
                Deed::Reject,
                Deed::HangUp,
                Deed::Mute,
                Deed::Hold,
                Deed::Keypad,
                Deed::Transfer,
                Deed::Join,
                Deed::Redial,
            ]),
        ),
        ("Text", of(&[Deed::Larger, Deed::Smaller, Deed::Normal])),
    ];
    let mut go = of(&[
        Deed::Phone,
        Deed::History,
        Deed::Messages,
        Deed::Trace,
        Deed::Accounts,
        Deed::Settings,
        Deed::Find,
        Deed::Sheet,
    ]);
    go.push(("Organisation".to_owned(), format!("{command}+1 … 9")));
    go.push(("Call".to_owned(), format!("{alt}+1 … 9")));
    let right = [
        ("Go to", go),
        (
            "Trace",
            pairs(&[
                ("Up, down", "k  j"),
                ("Follow one call", "Enter"),
                ("Back to all", "Esc"),
                ("Filter", "/"),
                ("Pause", "p"),
                ("Message pane", "t"),
            ]),
        ),
    ];
    if two {
        ui.columns(2, |columns| {
            if let [one, other] = columns {
                one.spacing_mut().item_spacing.y = 0.0;
                other.spacing_mut().item_spacing.y = 0.0;
                for (name, keys) in &left {
                    group(one, t, name, keys);
                }
                for (name, keys) in &right {
                    group(other, t, name, keys);
                }
            }
        });
    } else {
        ui.spacing_mut().item_spacing.y = 0.0;
        for (name, keys) in left.iter().chain(&right) {
            group(ui, t, name, keys);
        }
    }
}

fn group(ui: &mut Ui, t: &crate::theme::Theme, name: &str, keys: &[(String, String)]) {
    caption(ui, t, name);
    ui.add_space(4.0);
    for (words, key) in keys {
        let mut bar = Bar::new(ui, t.px(26.0), 8.0);
        bar.right(8.0);
        let text = galley(ui.painter(), key, t.small(), t.text, t.px(120.0));
        let cap = bar.right(text.size().x + 12.0);
        let cap = Rect::from_center_size(cap.center(), Vec2::new(cap.width(), t.px(20.0)));
        ui.painter().rect_filled(cap, 4.0, t.selected);
        text_in(ui.painter(), cap, key, t.small(), t.text, Align::Center);
        let place = bar.rest();
        text_in(ui.painter(), place, words, t.body(), t.muted, Align::Min);
        let spoken = format!("{words}, {key}");
        let response = ui.interact(place, ui.scope_id().with((name, words)), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    }
    ui.add_space(16.0);
}

fn question(ui: &mut Ui, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    let Some(question) = window.question.clone() else {
        return;
    };
    let (title, text, deed, command) = match &question {
        Question::RemoveAccount(id) => (
            strings::remove_account(data.account(id).map_or("", |a| a.title())),
            strings::REMOVE_ACCOUNT_TEXT,
            strings::REMOVE_NOW,
            Command::RemoveAccount {
                account: id.clone(),
            },
        ),
        Question::RemoveTenant(id) => (
            strings::remove_tenant(
                data.tenant(id).map_or("", |t| &t.name),
                data.accounts.iter().filter(|a| a.tenant == *id).count(),
            ),
            strings::REMOVE_TENANT_TEXT,
            strings::REMOVE_NOW,
            Command::RemoveTenant { tenant: id.clone() },
        ),
        Question::ClearHistory(id) => (
            strings::clear_history(data.tenant(id).map_or("", |t| &t.name)),
            strings::CLEAR_HISTORY_TEXT,
            strings::CLEAR_HISTORY_NOW,
            Command::ClearHistory { tenant: id.clone() },
        ),
        Question::ClearMessages(id) => (
            strings::forget_messages(data.account(id).map_or("", |a| a.title())),
            strings::FORGET_MESSAGES_TEXT,
            strings::CLEAR_HISTORY_NOW,
            Command::ClearMessages {
                account: id.clone(),
            },
        ),
        Question::ClearBindings(id) => (
            strings::clear_bindings(data.account(id).map_or("", |a| a.title())),
            strings::CLEAR_BINDINGS_TEXT,
            strings::REMOVE_NOW,
            Command::ClearBindings {
                account: id.clone(),
            },
        ),
        Question::TrustCertificate {
            tenant,
            host,
            fingerprint,
        } => (
            strings::trust_certificate(host),
            strings::TRUST_TEXT,
            strings::TRUST_NOW,
            Command::TrustCertificate {
                tenant: tenant.clone(),
                host: host.clone(),
                fingerprint: fingerprint.clone(),
            },
        ),
    };
    let fingerprint = match &question {
        Question::TrustCertificate { fingerprint, .. } => Some(fingerprint.as_str()),
        _ => None,
    };
    let modal = Modal::new(Id::unique("question"))
        .backdrop_color(egui::Color32::from_black_alpha(if t.dark {
            150
        } else {
            90
        }))
        .frame(dialog_frame(&t))
        .show(ui.ctx(), |ui| {
            ui.set_width(t.px(380.0).min(ui.ctx().content_rect().width() - 80.0));
            ui.spacing_mut().item_spacing.y = 8.0;
            paragraph(ui, &title, t.large_strong(), t.text);
            paragraph(ui, text, t.body(), t.muted);
            if let Some(fingerprint) = fingerprint {
                paragraph(ui, fingerprint, t.mono(), t.text);
            }
            ui.add_space(8.0);
            let mut bar = Bar::new(ui, t.px(32.0), 8.0);
            let go = Button::new(Kind::Danger, deed).height(32.0);
            if bar.button_right(ui, &t, go).clicked() {
                kit.send(command);
                window.question = None;
            }
            let stay = Button::new(Kind::Quiet, strings::CANCEL).height(32.0);
            if bar.button_right(ui, &t, stay).clicked() {
                window.question = None;
            }
        });
    if modal.should_close() {
        window.question = None;
    }
}
