//! A login that somebody asks for and that is not there. It waits in a corner, and takes the keyboard from nobody.

use egui::{Align2, Area, Id, Key, Order, Rect, Role, Sense, Ui, Vec2, WidgetInfo};
use model::{Command, Identity, Password};

use super::overlay::dialog_frame;
use super::{Bar, Kit};
use crate::strings;
use crate::view_state::Data;
use crate::widgets::{Button, Field, Kind, paragraph, switch};
use crate::window::{LoginForm, Window};

pub(super) fn show(ui: &mut Ui, whole: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let Some(question) = data.logins.first() else {
        window.login = None;
        return;
    };
    let same = window
        .login
        .take()
        .filter(|form| form.question == *question);
    let mut form = same.unwrap_or_else(|| LoginForm::of(question));
    let t = kit.t.clone();
    let account = data.account(&question.account).map_or("", |a| a.title());
    let title = strings::login_wanted(account);
    let sentence = question.sentence();
    let mut done = false;
    let width = t.px(320.0).min(whole.width() - 24.0);
    let place = Area::new(Id::unique("login"))
        .order(Order::Foreground)
        .anchor(Align2::RIGHT_TOP, Vec2::new(-12.0, 12.0))
        .show(ui.ctx(), |ui| {
            dialog_frame(&t).show(ui, |ui| {
                ui.set_width(width - 40.0);
                ui.spacing_mut().item_spacing.y = 8.0;
                paragraph(ui, &title, t.strong(), t.text);
                paragraph(ui, &sentence, t.body(), t.muted);
                Field::new(&mut form.user, strings::LOGIN_USER)
                    .hint(strings::LOGIN_USER)
                    .show(ui, &t);
                let typed = Field::new(&mut form.password, strings::PASSWORD)
                    .hint(strings::PASSWORD)
                    .password()
                    .show(ui, &t);
                let entered = typed.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
                switch(ui, &t, strings::LOGIN_KEEP, &mut form.keep);
                let ready = !form.user.trim().is_empty() && !form.password.is_empty();
                let mut bar = Bar::new(ui, t.px(28.0), 8.0);
                let go = Button::new(Kind::Primary, strings::LOGIN_NOW).enabled(ready);
                let clicked = bar.button_right(ui, &t, go).clicked();
                if (clicked || entered) && ready {
                    kit.send(Command::AnswerLogin {
                        question: question.id,
                        user: Some(Identity::from(form.user.trim())),
                        password: Password(std::mem::take(&mut form.password)),
                        keep: form.keep,
                    });
                    done = true;
                }
                let not = Button::new(Kind::Quiet, strings::LOGIN_NOT);
                if bar.button_right(ui, &t, not).clicked() {
                    kit.send(Command::DeclineLogin {
                        question: question.id,
                    });
                    done = true;
                }
            });
        });
    let rect = place.response.rect;
    let response = ui.interact(rect, ui.scope_id().with("login wanted"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Alert, true, &sentence));
    window.login = (!done).then_some(form);
}
